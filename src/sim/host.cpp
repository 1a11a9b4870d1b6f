#include "sim/host.h"

#include "base/check.h"

namespace thole::sim {

Result<env::Owner> SimProcesses::user(const std::string& name) {
    const auto found = host_.users_.find(name);
    if (found == host_.users_.end()) return not_found("there is no user " + name);
    return found->second;
}

std::vector<env::Address> SimProcesses::listening(std::uint32_t pid) {
    return host_.wires_.listening(pid);
}

std::string SimProcesses::find_program(const std::string& name) {
    const auto found = host_.programs_.find(name);
    return found == host_.programs_.end() ? std::string() : found->second;
}

std::string SimProcesses::cgroup_of(std::uint32_t) { return "0::/\n"; }
std::string SimProcesses::boot_id() { return "boot-" + std::to_string(host_.boots_); }

SimProcess::SimProcess(SimHost& host, LifePointer life)
    : host_(host),
      life_(std::move(life)),
      random_(host.loop_.random().next()),
      timers_(host.loop_, life_),
      files_(host.disk_, life_),
      network_(host.wires_, life_),
      background_(host.loop_, life_),
      errands_(host.loop_, life_),
      trees_(files_),
      processes_(host, life_),
      env_{host.loop_,  timers_,  random_, files_,    network_,
           background_, errands_, trees_,  processes_} {}

void SimProcess::kill() {
    if (!life_->is_alive) return;
    host_.loop_.note("kill", life_->name, life_->who.pid);
    background_.kill();
    errands_.kill();
    life_->is_alive = false;
    life_->is_paused = false;
    host_.wires_.kill(*life_);
    host_.loop_.drop(*life_);
}

void SimProcess::pause() {
    host_.loop_.note("pause", life_->name, life_->who.pid);
    life_->is_paused = true;
}

void SimProcess::resume() {
    host_.loop_.note("resume", life_->name, life_->who.pid);
    life_->is_paused = false;
    host_.loop_.release(*life_);
    host_.wires_.release(*life_);
}

SimProcess& SimHost::process(const std::string& name, Identity identity) {
    for (const std::unique_ptr<SimProcess>& process : processes_)
        CHECK(process->name() != name || !process->is_alive());
    const std::uint32_t pid = identity.pid != 0 ? identity.pid : next_pid_++;
    loop_.note("begin", name, pid);
    const LifePointer life = std::make_shared<Life>(
        Life{.name = name, .who = {pid, identity.owner.uid}, .gid = identity.owner.gid});
    processes_.push_back(std::make_unique<SimProcess>(*this, life));
    SimProcess& process = *processes_.back();
    for (const auto& [key, socket] : inherited_) {
        if (key.first != name) continue;
        process.network().inherit(key.second,
                                  socket.path.empty() ? place_of(socket.address) : socket.path);
    }
    return process;
}

void SimHost::inherit(const std::string& name, int number, const std::string& path) {
    inherited_[{name, number}] = {path, {}};
    wires_.park(path);
}

void SimHost::inherit(const std::string& name, int number, env::Address address) {
    inherited_[{name, number}] = {"", address};
    wires_.park(address);
}

void SimHost::power_cut() {
    for (const std::unique_ptr<SimProcess>& process : processes_) process->kill();
    disk_.power_cut();
    wires_.clear();
    loop_.reboot();
    ++boots_;
    for (const auto& [key, socket] : inherited_) {
        if (socket.path.empty()) {
            wires_.park(socket.address);
        } else {
            wires_.park(socket.path);
        }
    }
}

}  // namespace thole::sim
