# edge_contract_test: one list of promises, tried on the simulated edge and on the real one (tests/contract).
file(GLOB contract_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/contract/*.cpp)
add_executable(edge_contract_test ${contract_sources} tests/simulation/edge.cpp tests/simulation/edge_requests.cpp
    tests/simulation/story.cpp src/control/edge_client.cpp)
target_include_directories(edge_contract_test PRIVATE tests/simulation)
target_link_libraries(edge_contract_test PRIVATE thole_sim thole_os thole_wire GTest::gtest)
set_source_files_properties(tests/contract/real.cpp PROPERTIES
    COMPILE_DEFINITIONS "THOLE_KEEPER=\"${CMAKE_BINARY_DIR}/bin/keeper\";THOLE_EDGE=\"${CMAKE_BINARY_DIR}/bin/edge\"")
add_dependencies(edge_contract_test keeper edge)
thole_quick(edge_contract_test thole_precompiled_test)
gtest_discover_tests(edge_contract_test TEST_PREFIX contract. DISCOVERY_MODE PRE_TEST
    PROPERTIES LABELS unit TIMEOUT 120)
