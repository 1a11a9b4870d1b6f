# The folders of src/ that exist, lowest first, each with what it may use (ARCHITECTURE.md; tools/tidy.py checks the
# #includes against it), and the three programs.
thole_module(base LINK PkgConfig::FMT PkgConfig::SIMDJSON)
thole_module(wire LINK thole_base)
thole_module(http LINK thole_base)
thole_module(env LINK thole_base)
thole_module(os LINK thole_env)
