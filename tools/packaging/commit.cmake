# Writes a source file with the commit of the tree, only if that has changed: cmake -D SOURCE=.. -D OUT=.. -P commit.cmake
# An archive by `git archive` has no git folder: there git itself has put the commit into the next line.
set(commit "$Format:%h$")

if(commit MATCHES "Format:")
  set(commit "unknown commit")
  find_program(GIT git)
  if(GIT)
    # A tree without git, unpacked somewhere in a repository, is none of that repository's.
    execute_process(COMMAND ${GIT} rev-parse --show-prefix WORKING_DIRECTORY ${SOURCE}
                    OUTPUT_VARIABLE prefix RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
    if(NOT failed AND prefix STREQUAL "")
      execute_process(COMMAND ${GIT} rev-parse --short=12 HEAD WORKING_DIRECTORY ${SOURCE}
                      OUTPUT_VARIABLE head RESULT_VARIABLE failed ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
      execute_process(COMMAND ${GIT} --no-optional-locks status --porcelain --untracked-files=no
                      WORKING_DIRECTORY ${SOURCE} OUTPUT_VARIABLE changes ERROR_QUIET)
      if(NOT failed)
        set(commit "${head}")
        if(changes)
          string(APPEND commit ", changed")
        endif()
      endif()
    endif()
  endif()
endif()

set(text "// Written by tools/packaging/commit.cmake.\n#include \"tools/version.h\"\n
namespace mcn {\n
const char* const build_commit = \"${commit}\";\n
}  // namespace mcn\n")
set(old)
if(EXISTS ${OUT})
  file(READ ${OUT} old)
endif()
if(NOT old STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
