# The simulated world: control as it is, on a simulated machine. `./dev sim [seed]` runs it, and ctest the recorded seeds and
# some that are drawn by the tree's hash.
file(GLOB simulation_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/simulation/*.cpp)
add_executable(simulation ${simulation_sources})
target_link_libraries(simulation PRIVATE thole_control thole_sim)
set_source_files_properties(tests/simulation/main.cpp PROPERTIES
    COMPILE_DEFINITIONS THOLE_SIMULATION="${CMAKE_SOURCE_DIR}/tests/simulation")
thole_quick(simulation thole_precompiled)
add_test(NAME simulation COMMAND simulation)
set_tests_properties(simulation PROPERTIES LABELS simulation TIMEOUT 300)
