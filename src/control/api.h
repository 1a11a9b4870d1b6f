// What the command line asks and is told (docs/reference/api.md): parse, ask control, render.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/control.h"
#include "control/exposition.h"
#include "control/logs.h"
#include "env/env.h"
#include "web/server.h"

namespace thole::control {

constexpr std::string_view kVersion = "0.1.0";

class Api {
public:
    explicit Api(Control& control);
    ~Api() { *alive_ = false; }
    Api(const Api&) = delete;

    // Tells those who watch the timeline.
    void said(const model::TimelineRow& row);

private:
    struct Watcher {
        web::Responder to;
        std::string service;
        std::int64_t after = 0;
        bool has_begun = false;  // The rows of before were sent.
        std::vector<model::TimelineRow> waiting;
    };
    // Who reads logs. Its tails block on the disk: only work in Background touches them.
    struct Tail {
        SpoolSource source;
        LogStream stream;
        SpoolTail tail;
    };
    struct Reader {
        web::Responder to;
        std::vector<std::unique_ptr<Tail>> tails;
        std::size_t lines = 0;
        bool follows = false;
        bool has_begun = false;
    };

    void accept(std::unique_ptr<env::Stream> stream);
    void handle(const web::ServerRequest& request, const web::Responder& to);
    void get(const web::ServerRequest& request, const web::Responder& to);
    void put_manifest(const web::ServerRequest& request, const web::Responder& to);
    void apply(const Control::Wanted& wanted, const web::Responder& to);
    void post_service(const web::ServerRequest& request, const web::Responder& to);
    void put_shares(const web::ServerRequest& request, const web::Responder& to);
    void put_paused(const web::ServerRequest& request, const web::Responder& to);
    // nullptr: it was refused.
    Service* service_of(const web::ServerRequest& request, const web::Responder& to);
    void post_down(const web::Responder& to);
    // upgrades.cpp
    void post_upgrade(const web::ServerRequest& request, const web::Responder& to);
    // api_faults.cpp
    void post_fault(const web::ServerRequest& request, const web::Responder& to);
    void delete_fault(const web::ServerRequest& request, const web::Responder& to);
    void get_faults(const web::Responder& to);
    void get_timeline(const web::ServerRequest& request, const web::Responder& to);
    void watch_timeline(const web::ServerRequest& request, const web::Responder& to);
    void get_system(const web::Responder& to);
    void get_metrics(MetricsForm form, const web::Responder& to);
    void get_logs(const web::ServerRequest& request, const web::Responder& to);
    void read_on(const std::shared_ptr<Reader>& reader);
    SpoolSource source_of(const Service& service, const Slot& slot) const;
    struct Inquiry;
    void get_request(std::string_view id, const web::Responder& to);
    void read_access(const std::shared_ptr<Inquiry>& inquiry);
    enum class FileWas : std::uint8_t { Read, TooSlow };
    void answer_inquiry(Inquiry& inquiry, FileWas file);
    void observe_spools();
    void tell_output(std::uint32_t number, const std::uint64_t (&sizes)[2]);
    void bound_spools();
    void remove_spools(const std::string& folder, std::vector<std::string> names);
    void measure_state();
    void measure_state_after(Duration pause);
    void measure_state_soon();
    void beat();

    Control& control_;
    std::unique_ptr<web::Server> server_;
    std::unique_ptr<web::Server> refusing_;  // For who may not ask.
    std::unique_ptr<env::Listening> listening_;
    std::vector<std::shared_ptr<Watcher>> watchers_;
    std::vector<std::pair<std::shared_ptr<Reader>, env::Timer>> readers_;
    bool is_applying_ = false;
    Time began_;
    std::vector<web::Responder> early_;  // They ask for the system before keeper has said it.
    env::Timer answer_early_;
    std::map<std::string, SpoolMarks> marks_;  // By path.
    env::Timer beat_;
    env::Timer observe_;
    env::Timer bound_;
    bool is_bounding_ = false;
    env::Timer measure_;
    std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

// GET /api/v1/system. `id` is the system's.
struct SystemSaid {
    std::string id;
    std::string trouble;
    bool is_root = true;
    Time now{};
    WallTime wall{};
    // By name, of services that fail: what they said last.
    std::map<std::string, std::vector<std::string>> last_lines;
};
std::string system_json(World& world, const SystemSaid& said);
// Whether it is in a state in which its last words are wanted.
bool wants_last_lines(World& world, const Service& service);
// A list of those that are on.
std::string faults_json(const World& world, const SystemSaid& said);
std::string timeline_json(const model::TimelineRow& row);

}  // namespace thole::control
