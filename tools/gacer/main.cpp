#include "tools/gacer/tool.h"

int main(int argc, char** argv) { return gacer::cli::run_tool(argc, argv); }
