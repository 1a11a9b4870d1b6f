// What the kernel tells of processes and users. Starting and ending processes is keeper's business.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "env/network.h"
#include "env/trees.h"

namespace thole::env {

class Processes {
public:
    virtual ~Processes() = default;
    // Whom we run as.
    virtual Owner self() = 0;
    // A user of this machine by name.
    virtual Result<Owner> user(const std::string& name) = 0;
    // Where this process, or any other of its session, listens for TCP (IPv4 and IPv6; an IPv6
    // address other than any and loopback is given as ip 0xffffffff). For words that explain, not
    // for decisions: it reads /proc and takes milliseconds. Empty where nothing can be told.
    virtual std::vector<Address> listening(std::uint32_t pid) = 0;
    // A program of this name in the directories of PATH as services get it, or empty.
    virtual std::string find_program(const std::string& name) = 0;
    // What /proc/<pid>/cgroup says, of 0 our own; empty where it cannot be read, or there are none.
    virtual std::string cgroup_of(std::uint32_t pid) = 0;
    // Different after each boot of the machine.
    virtual std::string boot_id() = 0;
};

}  // namespace thole::env
