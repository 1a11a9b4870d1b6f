// A machine from a seed: one loop, one disk, what lies between processes, and the processes. What a
// test wants to run, it gives the `env()` of a process; who is to be its peer, gets another one.
//
//     SimHost host(seed);
//     SimProcess& control = host.process("control");
//     ... objects on control.env() ...
//     control.kill();                                // Then destroy the objects.
//     SimProcess& again = host.process("control");   // The same files, a new life.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "env/env.h"
#include "sim/background.h"
#include "sim/disk.h"
#include "sim/files.h"
#include "sim/loop.h"
#include "sim/network.h"
#include "sim/trees.h"

namespace thole::sim {

class SimHost;

class SimProcesses final : public env::Processes {
public:
    SimProcesses(SimHost& host, LifePointer life) : host_(host), life_(std::move(life)) {}
    env::Owner self() override { return {life_->who.uid, life_->gid}; }
    Result<env::Owner> user(const std::string& name) override;
    std::vector<env::Address> listening(std::uint32_t pid) override;
    std::string find_program(const std::string& name) override;
    std::string cgroup_of(std::uint32_t pid) override;
    std::string boot_id() override;

private:
    SimHost& host_;
    LifePointer life_;
};

struct Identity {
    std::uint32_t pid = 0;  // 0: the next one.
    env::Owner owner = {1000, 1000};
};

// One run of a process. Its objects may outlive it and then find that nothing works.
class SimProcess {
public:
    SimProcess(SimHost& host, LifePointer life);
    SimProcess(const SimProcess&) = delete;
    SimProcess& operator=(const SimProcess&) = delete;

    env::Env& env() { return env_; }
    SimNetwork& network() { return network_; }
    SimBackground& background() { return background_; }
    SimBackground& errands() { return errands_; }
    const std::string& name() const { return life_->name; }
    std::uint32_t pid() const { return life_->who.pid; }
    bool is_alive() const { return life_->is_alive; }

    // SIGKILL: timers and work are gone, sockets closed; a running job's end is drawn.
    void kill();
    // SIGSTOP and SIGCONT: all that comes meanwhile waits.
    void pause();
    void resume();
    // The process takes no effect on the disk after so many more file operations; for a death
    // inside of a job or a call. kill() must follow.
    void stop_writing_after(std::uint64_t operations) { life_->operations_left = operations; }

private:
    SimHost& host_;
    LifePointer life_;
    Random random_;
    SimTimers timers_;
    SimFiles files_;
    SimNetwork network_;
    SimBackground background_;
    SimBackground errands_;
    SimTrees trees_;
    SimProcesses processes_;
    env::Env env_;
};

class SimHost {
public:
    explicit SimHost(std::uint64_t seed) : loop_(seed), disk_(loop_), wires_(loop_) {}
    // What events hold (streams, timers) goes before what these stand on.
    ~SimHost() { loop_.clear(); }
    SimHost(const SimHost&) = delete;
    SimHost& operator=(const SimHost&) = delete;

    SimLoop& loop() { return loop_; }
    SimDisk& disk() { return disk_; }
    Wires& wires() { return wires_; }
    std::uint64_t trace() const { return loop_.trace(); }

    // Begins a process. One of this name must not be alive.
    SimProcess& process(const std::string& name, Identity identity = {});
    // Each process of this name, also the next one, finds the descriptor `number` to be a socket
    // that listens there; it is parked there from now on.
    void inherit(const std::string& name, int number, const std::string& path);
    void inherit(const std::string& name, int number, env::Address address);
    void add_user(const std::string& name, env::Owner owner) { users_[name] = owner; }
    void remove_user(const std::string& name) { users_.erase(name); }
    void add_program(const std::string& name, const std::string& path) { programs_[name] = path; }

    // Everything dies, the disk keeps what it keeps, and the machine boots: without processes and
    // without sockets (those that are inherited are parked anew).
    void power_cut();

private:
    friend class SimProcess;
    friend class SimProcesses;

    SimLoop loop_;
    SimDisk disk_;
    Wires wires_;
    std::vector<std::unique_ptr<SimProcess>> processes_;  // The dead, too.
    struct Inherited {
        std::string path;  // Empty: the address counts.
        env::Address address;
    };
    std::map<std::pair<std::string, int>, Inherited> inherited_;
    std::map<std::string, env::Owner> users_;
    std::map<std::string, std::string> programs_;
    std::uint32_t next_pid_ = 100;
    int boots_ = 1;
};

// For tests that need but one process.
class SimEnv {
public:
    explicit SimEnv(std::uint64_t seed) : host_(seed), process_(host_.process("test")) {}
    env::Env& env() { return process_.env(); }
    SimProcess& process() { return process_; }
    SimHost& host() { return host_; }
    SimLoop& loop() { return host_.loop(); }
    SimDisk& disk() { return host_.disk(); }
    Wires& wires() { return host_.wires(); }

private:
    SimHost host_;
    SimProcess& process_;
};

}  // namespace thole::sim
