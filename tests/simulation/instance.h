// One instance of a simulated service, or one build: what its image says, and how it behaves. The
// behaviour is the first word of the file `behaviour` in its release, so that a deploy is a changed
// byte, as in the field:
//
//     good         listens after a while, ends when asked
//     stubborn     as good, and ignores SIGTERM
//     crashes      as good, and falls soon after it is ready
//     exits        at once
//     silent       never listens
//     unbuildable  its build fails
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "env/network.h"
#include "sim/host.h"
#include "web/server.h"

namespace thole::simulation {

// The last word of the file where what runs has to be built first.
constexpr std::string_view kIsBuilt = " built";

struct Program {
    std::string service;
    std::string folder;
    std::string behaviour;  // All of the file.
    std::uint32_t release = 0;
    std::uint32_t restart = 0;
    std::uint16_t port = 0;  // 0: it listens nowhere.
    bool keeps_state = false;
    std::vector<std::uint16_t> calls;  // Ports at which it was told to find others.
    bool is_build = false;
    std::uint32_t uid = 0;
};

// What the image would start; a program without service where it is none.
Program read_program(std::string_view image);

class Instance {
public:
    // Each comes once: when the process has done its last, and a while after it, when it can be
    // waited for.
    struct Events {
        std::function<void()> died;
        std::function<void(std::int32_t wait_status)> ended;
    };
    Instance(sim::SimHost& host, const std::string& name, Program program, Events events);
    Instance(const Instance&) = delete;

    void start();
    void ask_to_end();  // SIGTERM
    void end(std::int32_t wait_status);
    // Nobody is there any more to hear of its end.
    void abandon();
    std::uint32_t pid() const { return process_.pid(); }
    const Program& program() const { return program_; }
    bool is_listening() const {
        return process_.is_alive() && (listening_ != nullptr || program_.port == 0);
    }

private:
    void listen();
    std::int32_t build();
    bool behaves(std::string_view how) const { return program_.behaviour.starts_with(how); }
    void end_after(sim::Range when, std::int32_t wait_status);

    sim::SimHost& host_;
    sim::SimProcess& process_;
    Program program_;
    Events events_;
    std::unique_ptr<web::Server> server_;
    std::unique_ptr<env::Listening> listening_;
    env::Timer start_;
    env::Timer end_;
};

}  // namespace thole::simulation
