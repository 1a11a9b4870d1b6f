// What the command line asks and is told (docs/reference/api.md): parse, ask control, render.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "control/control.h"
#include "control/logs.h"
#include "env/env.h"
#include "web/server.h"

namespace thole::control {

class Api {
public:
    explicit Api(Control& control);
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
    struct Reader {
        web::Responder to;
        std::vector<std::unique_ptr<SpoolTail>> tails;
    };

    void accept(std::unique_ptr<env::Stream> stream);
    void handle(const web::ServerRequest& request, const web::Responder& to);
    void get(const web::ServerRequest& request, const web::Responder& to);
    void put_manifest(const web::ServerRequest& request, const web::Responder& to);
    void post_service(const web::ServerRequest& request, const web::Responder& to);
    void post_down(const web::Responder& to);
    void get_timeline(const web::ServerRequest& request, const web::Responder& to);
    void watch_timeline(const web::ServerRequest& request, const web::Responder& to);
    void get_logs(const web::ServerRequest& request, const web::Responder& to);
    void read_on();
    std::vector<std::string> last_lines(const Service& service);
    void beat();

    Control& control_;
    std::unique_ptr<web::Server> server_;
    std::unique_ptr<env::Listening> listening_;
    std::vector<std::shared_ptr<Watcher>> watchers_;
    std::vector<Reader> readers_;
    env::Timer beat_;
    env::Timer read_;
};

// GET /api/v1/system. `id` is the system's.
struct SystemSaid {
    std::string id;
    std::string trouble;
    Time now{};
    WallTime wall{};
    // Of a service that fails: what it said last.
    std::function<std::vector<std::string>(const Service&)> last_lines;
};
std::string system_json(World& world, const SystemSaid& said);
std::string timeline_json(const model::TimelineRow& row);

}  // namespace thole::control
