# Fuzzers of the parsers that meet bytes from outside: fuzz/<name>.cpp. Each build replays fuzz/seeds/<name> as a test; the
# preset fuzz (clang) makes programs that search, which tools/run_fuzz.py starts:
#   cmake --preset fuzz && ninja -C build/fuzz fuzz_http_head && tools/run_fuzz.py --minutes 1 http_head
option(THOLE_FUZZ "Let fuzzers search (clang's libFuzzer) instead of replaying their seeds" OFF)

function(thole_fuzzer name)
    cmake_parse_arguments(PARSE_ARGV 1 fuzzer "" "" "LINK")
    add_executable(fuzz_${name} fuzz/${name}.cpp)
    target_link_libraries(fuzz_${name} PRIVATE ${fuzzer_LINK})
    if(THOLE_FUZZ)
        target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    else()
        target_sources(fuzz_${name} PRIVATE fuzz/replay.cpp)
        add_test(NAME fuzz.${name} COMMAND fuzz_${name} ${CMAKE_SOURCE_DIR}/fuzz/seeds/${name})
        set_tests_properties(fuzz.${name} PROPERTIES LABELS fuzz TIMEOUT 120)
    endif()
endfunction()

thole_fuzzer(http_head LINK thole_http)
thole_fuzzer(http_body LINK thole_http)
thole_fuzzer(manifest LINK thole_manifest)
thole_fuzzer(http_response LINK thole_http)
thole_fuzzer(edge_flow LINK thole_edge)
thole_fuzzer(snapshot LINK thole_wire)
thole_fuzzer(router LINK thole_edge)
thole_fuzzer(adoption LINK thole_edge)
