# cmake -DIN=<text file> -DOUT=<cpp file> -DNAME=<variable> -P EmbedText.cmake
file(READ "${IN}" text)
file(WRITE "${OUT}" "// Generated from ${IN}. Do not edit.
namespace gacer {
extern const char ${NAME}[];
const char ${NAME}[] = R\"embedded(${text})embedded\";
}  // namespace gacer
")
