# A thin front of CMake's presets (CMakePresets.json). `make help` lists the targets.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := all

# What build, test, install, demo and bench use; PRESET=cuda adds the CUDA backend.
PRESET ?= release
JOBS ?= $(shell nproc)
PREFIX ?= $(CURDIR)/install
CTEST_ARGS ?=

sources = git ls-files -co --exclude-standard -- '*.cpp' '*.h' '*.cu' '*.cuh'
clang_format = $(shell command -v clang-format-14 || command -v clang-format)
clang_tidy = $(shell command -v clang-tidy-14 || command -v clang-tidy)

# The thread sanitizer of older compilers dies on a widely randomised address space; where a container may not
# turn that off, it runs as it is.
no_aslr = $(shell setarch -R true 2>/dev/null && echo setarch -R)

# $(call build,PRESET,TARGETS): configures a preset and builds targets of it.
define build
	cmake --preset $(1) --log-level=WARNING
	cmake --build --preset $(1) -j $(JOBS) --target $(2)
endef

.PHONY: all build setup demo test bench install device-bundle format tidy layers asan tsan clean distclean help

all: build ## the same as build

setup: ## system packages, .venv and .models (once; needs root or sudo for packages)
	@tools/setup/setup.sh

build: setup ## everything, optimised, in build/release (the tool: build/release/gacer)
	$(call build,$(PRESET),all)

demo: setup ## builds the tool and shows what it does, on this machine
	$(call build,$(PRESET),gacer)
	demo/run

test: build ## builds everything and runs all tests
	ctest --preset $(PRESET) -j $(JOBS) $(CTEST_ARGS)

bench: setup ## builds the tool and runs the benchmarks
	$(call build,$(PRESET),gacer)
	bench/run

install: build ## installs the tool and the library under PREFIX (default ./install)
	cmake --install build/$(PRESET) --prefix $(PREFIX)

device-bundle: setup ## the tool with its libraries for a GPU machine: build/cuda/gacer-device.tar.xz
	$(call build,cuda,gacer test_backend_cuda)
	tools/device_bundle build/cuda

format: ## formats all C++ sources in place
	$(sources) | xargs -r $(clang_format) -i

tidy: setup ## clang-tidy over all C++ sources
	cmake --preset dev --log-level=WARNING
	$(sources) | grep '\.cpp$$' | grep -E '^(src|tools)/' | xargs -r -n 4 -P $(JOBS) $(clang_tidy) -p build/dev --quiet

layers: ## checks which folder includes which
	tools/check_layers

asan: setup ## unit and conformance tests with the address and undefined-behaviour sanitizers
	$(call build,asan,tests_unit tests_conformance)
	ctest --preset asan -j $(JOBS) $(CTEST_ARGS)

tsan: setup ## the engine's tests with the thread sanitizer
	$(call build,tsan,tests_tsan)
	$(no_aslr) ctest --preset tsan -j $(JOBS) $(CTEST_ARGS)

clean: ## removes all build directories
	rm -rf build

distclean: clean ## removes what set-up made too
	rm -rf .venv .models install

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' Makefile
