#include "cli/scripted_test.h"

#include <stdlib.h>

#include <algorithm>

#include <fmt/format.h>

namespace thole::cli {

using namespace std::chrono_literals;

ScriptedOutside::ScriptedOutside() : linux_(loop_), until_(os::boot_now() + 30s) {
    char name[] = "/tmp/thole-cli-test-XXXXXX";
    folder_ = mkdtemp(name);
}

ScriptedOutside::~ScriptedOutside() {
    const std::string command = "rm -rf " + folder_;
    EXPECT_EQ(system(command.c_str()), 0);
}

void ScriptedOutside::turn(Duration wait_max) {
    loop_.turn(std::min<Duration>(wait_max, 20ms));
    const std::function<void()> call = each_turn_;  // It may put another in its place.
    call();
    // Then every wait of the command line ends, and the test says where.
    if (os::boot_now() > until_ && !is_interrupted_) {
        ADD_FAILURE() << "the command waits for ever; it wrote:\n" << data_ << talk_;
        is_interrupted_ = true;
    }
}

bool ScriptedOutside::write(Channel channel, std::string_view bytes) {
    (channel == Channel::Data ? data_ : talk_) += bytes;
    return !is_disk_full_ || channel == Channel::Talk;
}

Result<std::string> ScriptedOutside::real_folder(const std::string& path) {
    if (path == ".") return folder_;
    if (env().files.exists(path)) return path;
    return not_found("folder " + path + ": No such file or directory");
}

Result<std::optional<std::vector<std::string>>> ScriptedOutside::git_files(
    const std::string& folder) {
    const auto found = git_.find(folder);
    if (found == git_.end()) return std::optional<std::vector<std::string>>();
    return std::optional(found->second);
}

std::optional<std::uint32_t> ScriptedOutside::owner(const std::string& path) {
    if (!env().files.exists(path)) return std::nullopt;
    return env().processes.self().uid;
}

Status ScriptedOutside::make_once(const std::string& path, std::string_view text) {
    if (env().files.exists(path)) return success();
    return env().files.replace(path, text, env::Durability::None, 0644);
}

Result<std::vector<std::string>> ScriptedOutside::all_files(const std::string& folder) {
    return all_[folder];
}

Status ScriptedOutside::start_keeper(const KeeperStart& start) {
    started_.push_back(start);
    return on_start_();
}

CliTest::CliTest() {
    outside_.variables_["THOLE_RUN_DIR"] = path_of("run");
    outside_.variables_["THOLE_DATA_DIR"] = path_of("data");
    EXPECT_TRUE(outside_.env().files.make_folder(path_of("run"), 0700).ok());
    system_ = system_json("serving", "");
}

void CliTest::serve() {
    server_ = std::make_unique<web::Server>(
        outside_.env(), web::ServerOptions{},
        [this](const web::ServerRequest& request, const web::Responder& responder) {
            answer(request, responder);
        });
    Result<std::unique_ptr<env::Listening>> listening = outside_.env().network.listen_unix(
        path_of("run/api.sock"),
        [this](std::unique_ptr<env::Stream> stream) { server_->accept(std::move(stream)); });
    ASSERT_TRUE(listening.ok()) << listening.error().message;
    listening_ = std::move(*listening);
}

void CliTest::stop_serving() {
    listening_ = nullptr;
    server_ = nullptr;
    EXPECT_TRUE(outside_.env().files.remove(path_of("run/api.sock")).ok());
}

void CliTest::break_connections() {
    server_ = std::make_unique<web::Server>(
        outside_.env(), web::ServerOptions{},
        [this](const web::ServerRequest& request, const web::Responder& responder) {
            answer(request, responder);
        });
}

int CliTest::thole(const std::vector<std::string>& words) {
    outside_.data_.clear();
    outside_.talk_.clear();
    return run(outside_, words);
}

void CliTest::write_manifest(const std::string& text) {
    EXPECT_TRUE(outside_.env()
                    .files.replace(path_of("thole.yaml"), text, env::Durability::None, 0644)
                    .ok());
}

bool CliTest::has_asked(const std::string& what) const {
    return std::find(asked_.begin(), asked_.end(), what) != asked_.end();
}

std::string CliTest::body_of(const std::string& what) const {
    for (std::size_t i = asked_.size(); i-- > 0;) {
        if (asked_[i] == what) return bodies_[i];
    }
    return {};
}

void CliTest::answer(const web::ServerRequest& request, const web::Responder& responder) {
    std::string query;
    for (const auto& [name, value] : request.query) {
        query += (query.empty() ? "?" : "&") + name + "=" + value;
    }
    const std::string what = request.method + " " + request.path;
    asked_.push_back(what + query);
    bodies_.push_back(request.body);
    if (const auto found = answers_.find(what); found != answers_.end()) {
        found->second(request, responder);
    } else if (what == "GET /api/v1/version") {
        responder.answer(200, R"({"version":"0.1.0","pid":12})");
    } else if (what == "GET /api/v1/system") {
        responder.answer(200, system_);
    } else if (what == "GET /api/v1/timeline" && request.parameter("watch").empty()) {
        responder.answer(200, R"({"entries":[]})");
    } else if (what == "GET /api/v1/timeline") {
        responder.begin(200, "application/x-ndjson");
    } else if (what == "PUT /api/v1/manifest") {
        responder.answer(200, R"({"revision":7,"notes":[]})");
    } else {
        responder.answer(200, "{}");
    }
}

std::string system_json(const std::string& state, const std::string& more) {
    return fmt::format(
        R"({{"name":"shop","id":"0123456789ab","folder":"","revision":7,"phase":"running",)"
        R"("settled":true,"trouble":"","notes":["no cgroup rights here"],)"
        R"("roles":[{{"role":"keeper","pid":11,"state":"running","starts":1,)"
        R"("since":"2026-11-24T05:12:03.120Z"}}],)"
        R"("services":[{{"name":"web","calls":[],"state":"{}",{})"
        R"("instances_wanted":1,"instances_ready":1,"release":3,"release_wanted":3,)"
        R"("address":"http://127.0.0.1:8080","held":0,"instances":[{{"name":"web-17.2","slot":17,)"
        R"("generation":2,"release":3,"pid":4711,"port":40001,"state":"ready","reason":"",)"
        R"("since":"2026-11-24T05:12:03.120Z","restarts":1,"in_flight":0,"requests":120,)"
        R"("errors":0}}]}}]}})",
        state, more);
}

std::string entry_json(int sequence, const std::string& text) {
    return fmt::format(
        R"({{"sequence":{},"time":"2026-11-24T13:03:07.000Z","kind":"instance ready",)"
        R"("service":"web","instance":"web-17.2","text":"{}"}})",
        sequence, text);
}

}  // namespace thole::cli
