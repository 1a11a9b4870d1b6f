# The folders of src/ that exist, lowest first, each with what it may use (ARCHITECTURE.md; tools/tidy.py checks the
# #includes against it), and the three programs.
# What brings a library in stays an object of its own, so that only those who call it are linked with that library:
# tests/integration/test_libraries.py has the edge's list.
set_source_files_properties(src/base/json.cpp src/os/linux_env.cpp src/os/linux_trees.cpp
    PROPERTIES SKIP_UNITY_BUILD_INCLUSION ON)
thole_module(base LINK PkgConfig::FMT PkgConfig::SIMDJSON)
thole_module(wire LINK thole_base)
# Data of others is looked for beside the source; only that file knows the path, so that a fresh clone hits the cache.
set_source_files_properties(src/http/corpus_test.cpp PROPERTIES COMPILE_DEFINITIONS THOLE_SOURCE_DIR="${CMAKE_SOURCE_DIR}")
thole_module(http LINK thole_base)
thole_module(env LINK thole_base)
thole_module(os LINK thole_env PkgConfig::CRYPTO)
thole_module(keeper LINK thole_os thole_wire)
thole_module(model LINK thole_base)
thole_module(web LINK thole_http thole_env TEST_LINK thole_os)
thole_module(sim LINK thole_env)
thole_module(manifest LINK thole_model PkgConfig::YAML)
thole_module(recovery LINK thole_model)
thole_module(deploy LINK thole_model)
thole_module(control LINK thole_web thole_wire thole_manifest thole_recovery thole_deploy PkgConfig::SQLITE
    TEST_LINK thole_sim thole_os)
thole_module(cli LINK thole_web thole_model TEST_LINK thole_os)
thole_module(edge LINK thole_os thole_wire thole_http thole_model)

# keeper: from sources, not libraries, so that it is static and holds only what it calls.
file(GLOB keeper_sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/src/keeper/*.cpp)
list(FILTER keeper_sources EXCLUDE REGEX "_test\\.cpp$")
add_executable(keeper src/app/keeper_main.cpp ${keeper_sources} src/wire/frame.cpp src/wire/image_view.cpp
    src/base/bytes.cpp src/base/check.cpp
    src/os/fault_point.cpp src/os/peers.cpp)
target_link_libraries(keeper PRIVATE thole_flags)
if(THOLE_STATIC_KEEPER)
    target_compile_definitions(keeper PRIVATE THOLE_COUNT_ALLOCATIONS=1)
    target_link_options(keeper PRIVATE -static -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc)
endif()

add_executable(edge src/app/edge_main.cpp)
target_link_libraries(edge PRIVATE thole_edge)
target_link_options(edge PRIVATE -Wl,--as-needed)

# thole: the command line, and control.
add_executable(thole src/app/thole_main.cpp src/app/outside_linux.cpp src/app/program.cpp src/app/control_main.cpp
    src/app/keeper_guard.cpp src/keeper/table.cpp src/keeper/open_files.cpp)
target_link_libraries(thole PRIVATE thole_cli thole_control thole_os)
if(THOLE_TESTS)
    add_executable(app_test src/app/outside_linux_test.cpp src/app/outside_linux.cpp src/app/program.cpp
        src/app/keeper_guard_test.cpp src/app/keeper_guard.cpp src/keeper/table.cpp src/keeper/open_files.cpp)
    target_link_libraries(app_test PRIVATE thole_cli thole_os thole_wire GTest::gtest_main)
    gtest_discover_tests(app_test TEST_PREFIX app. DISCOVERY_MODE PRE_TEST PROPERTIES LABELS unit TIMEOUT 120)
endif()
