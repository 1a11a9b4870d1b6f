#include "os/linux_processes.h"

#include <unistd.h>

namespace thole::os {

env::Owner LinuxProcesses::self() { return {::geteuid(), ::getegid()}; }
Result<env::Owner> LinuxProcesses::user(const std::string& name) { return not_found(name); }
std::vector<env::Address> LinuxProcesses::listening(std::uint32_t) { return {}; }
std::string LinuxProcesses::find_program(const std::string&) { return {}; }
std::string LinuxProcesses::boot_id() { return {}; }

}  // namespace thole::os
