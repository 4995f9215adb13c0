# mcn_kernels_cpu: the sources of kernels/cpu, compiled once for each level of the instruction set, and the choice among
# them (kernels/cpu/levels, which has the list, too). A level's objects become one object file in which every symbol but
# the factory is local. Else the linker would keep one copy of each inline function for the whole program, maybe one with
# instructions that the processor lacks.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(mcn_cpu_levels v2 v3 v4)
  set(mcn_cpu_options_v2 -march=x86-64-v2)
  set(mcn_cpu_options_v3 -march=x86-64-v3)
  set(mcn_cpu_options_v4 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  set(mcn_cpu_levels generic)
endif()

# With clang, CMake takes LLVM's linker, which cannot join sections for good in an object.
set(mcn_relocatable_linker ${CMAKE_LINKER})
if(CMAKE_LINKER MATCHES "(lld|gold|mold)$")
  find_program(MCN_GNU_LD NAMES ld.bfd REQUIRED)
  set(mcn_relocatable_linker ${MCN_GNU_LD})
endif()

file(GLOB mcn_cpu_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/cpu/*.cpp)
set(mcn_cpu_objects)
foreach(level IN LISTS mcn_cpu_levels)
  set(target mcn_kernels_cpu_${level})
  add_library(${target} OBJECT ${mcn_cpu_sources})
  target_link_libraries(${target} PRIVATE mcn_options)
  target_compile_definitions(${target} PRIVATE MCN_CPU_LEVEL=${level})
  if(BUILD_SHARED_LIBS)
    set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
  endif()
  # No unique symbols, which stay global whatever one asks for.
  target_compile_options(${target} PRIVATE -fopenmp-simd ${kernel_options} ${mcn_cpu_options_${level}}
                                           $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
  set(object ${PROJECT_BINARY_DIR}/cpu_levels/${level}.o)
  add_custom_command(
    OUTPUT ${object}
    COMMAND ${CMAKE_COMMAND} -E make_directory ${PROJECT_BINARY_DIR}/cpu_levels
    COMMAND ${mcn_relocatable_linker} -r --force-group-allocation -o ${object} $<TARGET_OBJECTS:${target}>
    COMMAND ${CMAKE_OBJCOPY} --keep-global-symbol=mcn_make_cpu_backend_${level} ${object}
    DEPENDS ${target} $<TARGET_OBJECTS:${target}>
    COMMENT "Linking the cpu kernels of level ${level}"
    COMMAND_EXPAND_LISTS VERBATIM)
  set_source_files_properties(${object} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
  list(APPEND mcn_cpu_objects ${object})
endforeach()
mcn_library(mcn_kernels_cpu FOLDERS kernels/cpu/levels PUBLIC mcn_kernels)
target_sources(mcn_kernels_cpu PRIVATE ${mcn_cpu_objects})
