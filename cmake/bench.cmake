# What bench/ measures with (bench/README.md). Only with -DTHOLE_BENCH=ON, which the preset bench sets: its build has the
# release's flags and a folder of its own, so that what users run stays what it is.
foreach(program forwarder upstream load starter restarter)
    add_executable(bench_${program} bench/${program}.cpp)
    target_link_libraries(bench_${program} PRIVATE thole_flags)
    target_include_directories(bench_${program} PRIVATE ${CMAKE_SOURCE_DIR})
endforeach()
# Loaded before libc into what is measured.
foreach(library count_calls under_callgrind)
    add_library(${library} MODULE bench/${library}.cpp)
    target_link_libraries(${library} PRIVATE thole_flags ${CMAKE_DL_LIBS})
    set_target_properties(${library} PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
endforeach()
add_custom_target(bench DEPENDS bench_forwarder bench_upstream bench_load bench_starter bench_restarter count_calls
    under_callgrind)
