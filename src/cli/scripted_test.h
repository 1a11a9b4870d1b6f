// What the tests of commands stand on: an outside of their own (a temporary folder, text in place
// of a terminal), and a real server on a unix socket that answers as the test says. All on one
// loop.
#pragma once

#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "cli/run.h"
#include "os/linux_env.h"
#include "web/server.h"

namespace thole::cli {

class ScriptedOutside final : public Outside {
public:
    ScriptedOutside();
    ~ScriptedOutside() override;
    env::Env& env() override { return linux_.env(); }
    void turn(Duration wait_max) override;
    bool is_interrupted() override { return is_interrupted_; }
    bool write(Channel channel, std::string_view bytes) override;
    bool is_terminal(Channel) override { return is_terminal_; }
    std::size_t width() override { return width_; }
    std::string variable(const std::string& name) override { return variables_[name]; }
    int utc_offset_seconds(WallTime) override { return 3600; }
    Result<std::string> real_folder(const std::string& path) override;
    bool is_folder(const std::string& path) override { return folders_.count(path) > 0; }
    std::optional<std::uint32_t> owner(const std::string& path) override;
    bool is_same(const std::string& one, const std::string& other) override { return one == other; }
    bool is_heard(const std::string& socket) override { return env().files.exists(socket); }
    Status make_once(const std::string& path, std::string_view text) override;
    Result<std::optional<std::vector<std::string>>> git_files(const std::string& folder) override;
    Result<std::vector<std::string>> all_files(const std::string& folder) override;
    std::string binaries() override { return "/opt/thole"; }
    Status start_keeper(const KeeperStart& start) override;

    std::string folder_;  // Of the project.
    std::string data_;    // What was written to stdout…
    std::string talk_;    // … and stderr.
    bool is_terminal_ = false;
    bool is_interrupted_ = false;
    bool is_disk_full_ = false;
    std::size_t width_ = 100;
    std::map<std::string, std::string> variables_;
    std::map<std::string, std::vector<std::string>> git_;  // By folder; absent: no repository.
    std::map<std::string, std::vector<std::string>> all_;
    std::map<std::string, bool> folders_;
    std::vector<KeeperStart> started_;
    std::function<Status()> on_start_ = [] { return success(); };
    std::function<void()> each_turn_ = [] {};

private:
    os::Loop loop_;
    os::LinuxEnv linux_;
    Time until_;
};

class CliTest : public testing::Test {
protected:
    CliTest();
    // Answers every request from now on. What is asked is in asked_, as "GET /api/v1/system".
    void serve();
    // As when thole has ended.
    void stop_serving();
    // As when control dies: who is connected loses the connection, and the socket stays.
    void break_connections();
    int thole(const std::vector<std::string>& words);
    void write_manifest(const std::string& text);
    bool has_asked(const std::string& what) const;
    // Of the last request of this kind.
    std::string body_of(const std::string& what) const;
    std::string path_of(const std::string& name) const { return outside_.folder_ + "/" + name; }

    ScriptedOutside outside_;
    // Answers by "METHOD path"; a request that has none is answered as a new system would.
    std::map<std::string, std::function<void(const web::ServerRequest&, const web::Responder&)>>
        answers_;
    std::string system_;  // What /api/v1/system answers.
    std::vector<std::string> asked_;
    std::optional<web::Responder> kept_;  // Answers later, or never.
    std::unique_ptr<env::Listening> listening_;

private:
    void answer(const web::ServerRequest& request, const web::Responder& responder);
    std::unique_ptr<web::Server> server_;
    std::vector<std::string> bodies_;
};

// One service as the API tells it: state and, between them, more members of the object.
std::string system_json(const std::string& state, const std::string& more);
std::string entry_json(int sequence, const std::string& text);

}  // namespace thole::cli
