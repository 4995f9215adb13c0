#!/bin/sh
# A project that adds this one as a folder is configured, and its own settings stay:
# test_subproject.sh CMAKE SOURCE CXX GENERATOR MAKE_PROGRAM
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cat >"$folder/CMakeLists.txt" <<'END'
cmake_minimum_required(VERSION 3.22)
project(user LANGUAGES CXX)
set(MCN_DATA OFF CACHE BOOL "")
set(MCN_SIMT OFF CACHE BOOL "")
add_subdirectory(${MCN} mcn)
add_executable(user main.cpp)
target_link_libraries(user PRIVATE mcn_engine)
foreach(left_out test_engine package mcn_texts)
  if(TARGET ${left_out})
    message(FATAL_ERROR "the folder brought the target ${left_out}")
  endif()
endforeach()
if(DEFINED CPACK_PACKAGE_NAME OR CMAKE_CXX_STANDARD)
  message(FATAL_ERROR "the folder changed settings of the project that adds it")
endif()
END
echo 'int main() {}' >"$folder/main.cpp"
"$1" -S "$folder" -B "$folder/build" -G "$4" -D CMAKE_MAKE_PROGRAM="$5" -D MCN="$2" -D CMAKE_CXX_COMPILER="$3"
# The sources are found, and what the build makes lies in its own folder.
grep -q "$2/engine/tensor.cpp" "$folder/build/compile_commands.json"
[ -f "$folder/build/mcn/report_template.cpp" ]
