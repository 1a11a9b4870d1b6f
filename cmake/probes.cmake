# Programs that answered one question, kept so that the answer can be asked for again (docs/decisions). Never built unasked:
# ninja -C build/ci <name>.
add_executable(sqlite_vfs_speed EXCLUDE_FROM_ALL tests/probes/sqlite_vfs_speed.cpp)
target_link_libraries(sqlite_vfs_speed PRIVATE thole_base PkgConfig::SQLITE)
add_executable(edge_takeover EXCLUDE_FROM_ALL tests/probes/edge_takeover/edge.cpp tests/probes/edge_takeover/main.cpp)
target_link_libraries(edge_takeover PRIVATE thole_flags)
add_executable(one_process_per_slot EXCLUDE_FROM_ALL tests/probes/one_process_per_slot.cpp)
target_link_libraries(one_process_per_slot PRIVATE thole_wire)
target_compile_options(one_process_per_slot PRIVATE -Wno-pedantic)
