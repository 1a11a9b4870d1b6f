# Programs that answered one question, kept so that the answer can be asked for again (docs/decisions). Never built unasked:
# ninja -C build/ci <name>.
add_executable(sqlite_vfs_speed EXCLUDE_FROM_ALL tests/probes/sqlite_vfs_speed.cpp)
target_link_libraries(sqlite_vfs_speed PRIVATE thole_base PkgConfig::SQLITE)
