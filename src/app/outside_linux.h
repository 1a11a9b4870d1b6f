// cli::Outside as it is: this process's terminal, variables, git and keeper.
#pragma once

#include "cli/outside.h"
#include "os/linux_env.h"

namespace thole::app {

// One a process: it takes SIGINT.
class OutsideLinux final : public cli::Outside {
public:
    OutsideLinux();

    env::Env& env() override { return linux_.env(); }
    void turn(Duration wait_max) override;
    bool is_interrupted() override;

    bool write(cli::Channel channel, std::string_view bytes) override;
    bool is_terminal(cli::Channel channel) override;
    std::size_t width() override;
    std::string variable(const std::string& name) override;
    int utc_offset_seconds(WallTime at) override;

    Result<std::string> real_folder(const std::string& path) override;
    bool is_folder(const std::string& path) override;
    std::optional<std::uint32_t> owner(const std::string& path) override;
    bool is_same(const std::string& one, const std::string& other) override;
    bool is_heard(const std::string& socket) override;
    Status make_once(const std::string& path, std::string_view text) override;
    Result<std::optional<std::vector<std::string>>> git_files(const std::string& folder) override;
    Result<std::vector<std::string>> all_files(const std::string& folder) override;

    std::string binaries() override;
    Status start_keeper(const cli::KeeperStart& start) override;

private:
    os::Loop loop_;
    os::LinuxEnv linux_;
};

}  // namespace thole::app
