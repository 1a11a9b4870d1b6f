# What bench/ measures with (bench/README.md). Only with -DTHOLE_BENCH=ON, which the preset bench sets: its build has the
# release's flags and a folder of its own, so that what users run stays what it is.
foreach(program forwarder upstream load starter restarter)
    add_executable(bench_${program} bench/${program}.cpp)
    target_link_libraries(bench_${program} PRIVATE thole_flags)
    target_include_directories(bench_${program} PRIVATE ${CMAKE_SOURCE_DIR})
endforeach()
add_library(count_calls MODULE bench/count_calls.cpp)
target_link_libraries(count_calls PRIVATE thole_flags ${CMAKE_DL_LIBS})
set_target_properties(count_calls PROPERTIES PREFIX "" LIBRARY_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/bin)
add_custom_target(bench DEPENDS bench_forwarder bench_upstream bench_load bench_starter bench_restarter count_calls)
