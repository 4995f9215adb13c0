// main() of every test executable where Catch2 is version 2; version 3 brings its own.
#define CATCH_CONFIG_MAIN
#include "tests/catch.h"
