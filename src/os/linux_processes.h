// env::Processes on Linux: /proc and the user database.
#pragma once

#include "env/processes.h"

namespace thole::os {

class LinuxProcesses final : public env::Processes {
public:
    env::Owner self() override;
    Result<env::Owner> user(const std::string& name) override;
    std::vector<env::Address> listening(std::uint32_t pid) override;
    std::string find_program(const std::string& name) override;
    std::string cgroup_of(std::uint32_t pid) override;
    std::string boot_id() override;
};

}  // namespace thole::os
