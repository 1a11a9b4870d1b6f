#include "control/api.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json.h"
#include "base/parse.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kBase = "/api/v1";
constexpr std::string_view kRequests = "/requests/";
constexpr std::string_view kServices = "/services/";
constexpr std::int64_t kPauseMsMax = std::chrono::milliseconds(8760h).count();
constexpr Duration kBeat = 15s;
constexpr std::size_t kBodyBytesMax = 64 * 1024 * 1024;
// Of who may not ask: so little that they cannot make control large.
constexpr std::size_t kRefusedMax = 16;
constexpr std::size_t kRefusedBytesMax = 64 * 1024;

Result<std::int64_t> number(const web::ServerRequest& request, std::string_view name,
                            std::int64_t otherwise) {
    const std::string_view text = request.parameter(name);
    if (text.empty()) return otherwise;
    Result<std::int64_t> read = parse_integer(text, 0, std::int64_t{1} << 62);
    if (!read) return Error{read.error()}.within(name);
    return read;
}

std::string author_of(const web::ServerRequest& request) {
    return request.peer.uid == 0 ? "root" : fmt::format("uid {}", request.peer.uid);
}

}  // namespace

Api::Api(Control& control) : control_(control), began_(control.env_.clock.now()) {
    server_ = std::make_unique<web::Server>(
        control_.env_, web::ServerOptions{.body_bytes_max = kBodyBytesMax},
        [this](const web::ServerRequest& request, const web::Responder& to) {
            handle(request, to);
        });
    refusing_ = std::make_unique<web::Server>(
        control_.env_,
        web::ServerOptions{.connections_max = kRefusedMax, .body_bytes_max = kRefusedBytesMax},
        [](const web::ServerRequest&, const web::Responder& to) {
            to.refuse(denied("thole takes no orders from its services")
                          .with_hint("run it as the user who started thole here"));
        });
    auto listening = control_.env_.network.listen_inherited(
        control_.options_.api_descriptor,
        [this](std::unique_ptr<env::Stream> stream) { accept(std::move(stream)); });
    if (listening) listening_ = std::move(*listening);
    beat_ = control_.env_.timers.after(kBeat, [this] { beat(); });
    observe_spools();
    bound_spools();
    measure_state();
}

// Root, or who runs thole; a service is refused also where it runs as one of these.
void Api::accept(std::unique_ptr<env::Stream> stream) {
    env::Processes& processes = control_.env_.processes;
    const env::Peer peer = stream->peer();
    const std::uint32_t self = processes.self().uid;
    const bool is_stranger = peer.uid != 0 && peer.uid != self;
    // keeper's folder for an instance. Of one that has gone nobody can tell; of root that it is
    // none, where we are not.
    const std::string cgroup = processes.cgroup_of(peer.pid);
    const bool may_be_instance = cgroup.find("/slot-") != std::string::npos ||
                                 (cgroup.empty() && !processes.cgroup_of(0).empty());
    const bool is_refused = is_stranger || (may_be_instance && (peer.uid != 0 || self == 0));
    (is_refused ? refusing_ : server_)->accept(std::move(stream));
}

void Api::handle(const web::ServerRequest& request, const web::Responder& to) {
    const std::string& path = request.path;
    if (request.method == "GET" && path == "/metrics")
        return get_metrics(form_for(request.accept), to);
    if (!path.starts_with(kBase)) return to.refuse(not_found("no such path: " + path));
    const std::string rest = path.substr(kBase.size());
    if (request.method == "GET") return get(request, to);
    if (request.method == "PUT" && rest == "/manifest") return put_manifest(request, to);
    if (request.method == "PUT" && rest.starts_with(kServices))
        return rest.ends_with("/shares") ? put_shares(request, to) : put_paused(request, to);
    if (request.method == "POST" && rest == "/down") return post_down(to);
    if (request.method == "POST" && rest == "/edge/upgrade") return post_upgrade(request, to);
    if (request.method == "POST" && rest == "/faults") return post_fault(request, to);
    if (request.method == "DELETE" && rest.starts_with("/faults/"))
        return delete_fault(request, to);
    if (request.method == "POST" && rest.starts_with(kServices)) return post_service(request, to);
    to.refuse(not_found(fmt::format("no such request: {} {}", request.method, path)));
}

void Api::get(const web::ServerRequest& request, const web::Responder& to) {
    const std::string rest = request.path.substr(kBase.size());
    if (rest == "/version")
        return to.answer(
            200, JsonWriter().begin_object().member("version", kVersion).end_object().take());
    if (rest == "/timeline") return get_timeline(request, to);
    if (rest == "/logs") return get_logs(request, to);
    if (rest == "/system") return get_system(to);
    if (rest == "/metrics") return get_metrics(MetricsForm::Json, to);
    if (rest.starts_with(kRequests))
        return get_request(std::string_view(rest).substr(kRequests.size()), to);
    if (rest == "/faults") return get_faults(to);
    to.refuse(not_found("no such path: " + request.path));
}

void Api::put_manifest(const web::ServerRequest& request, const web::Responder& to) {
    const Result<Json> body = parse_json(request.body);
    if (!body) return to.refuse(body.error());
    const Result<std::string> folder = body->text_at("folder");
    const Result<std::string> text = body->text_at("text");
    const Json* const files = body->find("files");
    const Json* const prune = body->find("prune");
    if (!folder) return to.refuse(folder.error());
    if (!text) return to.refuse(text.error());
    if (files == nullptr || files->array() == nullptr)
        return to.refuse(invalid("files: must be a list of names"));
    if (!folder->starts_with('/')) return to.refuse(invalid("folder: must be an absolute path"));
    std::string list;
    for (const Json& name : *files->array()) {
        if (name.text() == nullptr) return to.refuse(invalid("files: must be a list of names"));
        list += *name.text() + '\0';
    }
    if (is_applying_)
        return to.refuse(conflict("another manifest is just being applied; it takes a moment")
                             .with_hint("thole up"));
    is_applying_ = true;
    const Prune prunes = prune != nullptr && prune->boolean() != nullptr && *prune->boolean()
                             ? Prune::Yes
                             : Prune::No;
    const auto kept = std::make_shared<Status>(success());
    // Before the commit that names it: whoever comes after us finds it.
    control_.env_.background.run(
        [&files = control_.env_.files, path = control_.options_.data + "/files", list, kept,
         revision = control_.world_.revision + 1] {
            *kept = files.make_folder(path, 0700);
            if (*kept)
                *kept = files.replace(fmt::format("{}/{}", path, revision), list,
                                      env::Durability::Synced, 0600);
        },
        [this, alive = alive_, to, kept, folder = *folder, text = *text, prunes] {
            if (!*alive) return;
            is_applying_ = false;
            if (!*kept) return to.refuse(kept->error());
            apply({folder, text, prunes}, to);
        });
}

void Api::apply(const Control::Wanted& wanted, const web::Responder& to) {
    std::vector<std::string> notes;
    const Status applied = control_.apply(wanted, notes);
    if (!applied) {
        ++control_.world_.manifests_refused;
        return to.refuse(applied.error());
    }
    measure_state_soon();
    const std::int64_t revision = control_.world_.revision;
    JsonWriter json;
    json.begin_object().member("revision", revision).key("notes").begin_array();
    for (const std::string& note : notes) json.value(note);
    json.end_array().end_object();
    // Not before: whoever comes after us would not know what runs.
    control_.after_commit([this, to, revision, answer = json.take()] {
        if (control_.world_.revision == revision) control_.stage_all();
        to.answer(200, answer);
    });
    control_.mark_all();
}

// "/api/v1/services/web/restart"
Service* Api::service_of(const web::ServerRequest& request, const web::Responder& to) {
    const std::string rest = request.path.substr(kBase.size() + kServices.size());
    const std::string name = rest.substr(0, rest.find('/'));
    Service* const service = find_service(control_.world_, name);
    if (service == nullptr)
        to.refuse(not_found(fmt::format("there is no service '{}'", name)).with_hint("thole ps"));
    else if (control_.world_.is_down)
        to.refuse(conflict("the system is stopping").with_hint("thole up"));
    else
        return service;
    return nullptr;
}

void Api::post_service(const web::ServerRequest& request, const web::Responder& to) {
    Service* const service = service_of(request, to);
    if (service == nullptr) return;
    const std::string& name = service->row.name;
    const std::string verb = request.path.substr(
        std::min(request.path.size(), kBase.size() + kServices.size() + name.size() + 1));
    if (verb == "restart") {
        service->row.restart += 1;
        service->failures = service->proven_failures = {};
        control_.say({.kind = "restart asked", .service = name, .text = "by thole restart"});
    } else if (verb == "scale") {
        const Result<Json> body = parse_json(request.body);
        if (!body) return to.refuse(body.error());
        const Result<std::int64_t> count = body->integer_at("instances");
        if (!count) return to.refuse(count.error());
        if (*count < 1 || *count > model::kScaleMax)
            return to.refuse(invalid(fmt::format("instances: must be 1 to {}", model::kScaleMax)));
        const bool stays_single = service->spec.is_single() || is_single(control_.world_, *service);
        if (stays_single && *count > 1)
            return to.refuse(invalid(fmt::format(
                "{} keeps state or has a fixed port: two copies would share it", name)));
        service->row.scale = static_cast<std::int32_t>(*count);
        control_.say({.kind = "scale asked",
                      .service = name,
                      .text = fmt::format("to {}, by thole scale", *count)});
    } else {
        return to.refuse(not_found("no such request: " + request.path));
    }
    control_.put(service->row);
    control_.after_commit([to] { to.answer(200, "{}"); });
    control_.mark_all();
}

// Answered once it is on the disk and the edge goes by it.
void Api::put_shares(const web::ServerRequest& request, const web::Responder& to) {
    Service* const service = service_of(request, to);
    if (service == nullptr) return;
    const model::ServiceRow& row = service->row;
    if (request.path != fmt::format("{}{}{}/shares", kBase, kServices, row.name))
        return to.refuse(not_found("no such request: " + request.path));
    const Result<Json> body = parse_json(request.body);
    if (!body) return to.refuse(body.error());
    const Json* const said = body->find("shares");
    std::vector<std::uint32_t> releases{row.wanted};
    if (row.serving != 0 && row.serving != row.wanted) releases.push_back(row.serving);
    const Result<Parts> parts = read_parts(said == nullptr ? Json() : *said, releases);
    if (!parts) return to.refuse(parts.error());
    if (!parts->empty() && is_single(control_.world_, *service))
        return to.refuse(invalid(
            fmt::format("{} keeps state or has a fixed port: two of its releases never run at once",
                        row.name)));
    control_.share(*service, *parts, author_of(request));
    control_.after_commit([this, alive = alive_, to] {
        if (*alive) control_.when_edge_shares([to] { to.answer(200, "{}"); });
    });
    control_.mark_all();
}

// The same.
void Api::put_paused(const web::ServerRequest& request, const web::Responder& to) {
    Service* const service = service_of(request, to);
    if (service == nullptr) return;
    if (request.path != fmt::format("{}{}{}/paused", kBase, kServices, service->row.name))
        return to.refuse(not_found("no such request: " + request.path));
    const Result<Json> body = parse_json(request.body);
    if (!body) return to.refuse(body.error());
    const Result<bool> paused = body->boolean_at("paused");
    if (!paused) return to.refuse(paused.error());
    std::int64_t limit_ms = 0;
    if (body->find("for_ms") != nullptr) {
        const Result<std::int64_t> said = body->integer_at("for_ms");
        if (!said) return to.refuse(said.error());
        if (*said < 1 || *said > kPauseMsMax || !*paused)
            return to.refuse(invalid(
                fmt::format("for_ms: must be 1 to {}, and only where it pauses", kPauseMsMax)));
        limit_ms = *said;
    }
    std::string author = author_of(request);
    const std::uint32_t id = service->row.id;
    if (*paused) {
        control_.pause(*service, std::chrono::milliseconds(limit_ms), std::move(author));
    } else {
        control_.resume(id, "by thole resume, " + author);
    }
    control_.after_commit([this, alive = alive_, id, to] {
        if (*alive) control_.when_edge_knows(id, [to] { to.answer(200, "{}"); });
    });
    control_.mark_all();
}

void Api::post_down(const web::Responder& to) {
    if (!control_.world_.is_down)
        control_.say({.kind = "down asked", .text = "everything ends, callers first"});
    control_.resume_all("everything is to end");
    control_.world_.is_down = true;
    control_.had_instances_ = true;
    control_.put(model::NumberRow{"is_down", 1});
    control_.after_commit([to] { to.answer(200, "{}"); });
    control_.mark_all();
}

void Api::get_timeline(const web::ServerRequest& request, const web::Responder& to) {
    const Result<std::int64_t> after = number(request, "after", 0);
    const Result<std::int64_t> limit = number(request, "limit", 1000);
    if (!after) return to.refuse(after.error());
    if (!limit) return to.refuse(limit.error());
    if (request.parameter("watch") == "1") return watch_timeline(request, to);
    control_.commit();  // What was said in this very turn is asked for, too.
    control_.store_->read_timeline({*after, *limit, std::string(request.parameter("service"))},
                                   [to](Result<std::vector<model::TimelineRow>> rows) {
                                       if (!rows) return to.refuse(rows.error());
                                       JsonWriter json;
                                       json.begin_object().key("entries").begin_array();
                                       for (const model::TimelineRow& row : *rows)
                                           json.raw(timeline_json(row));
                                       to.answer(200, json.end_array().end_object().take());
                                   });
}

void Api::watch_timeline(const web::ServerRequest& request, const web::Responder& to) {
    const auto watcher =
        std::make_shared<Watcher>(Watcher{to,
                                          std::string(request.parameter("service")),
                                          number(request, "after", 0).value_or(0),
                                          false,
                                          {}});
    to.begin(200, "application/x-ndjson");
    watchers_.push_back(watcher);
    control_.commit();
    control_.store_->read_timeline(
        {watcher->after, number(request, "limit", 1000).value_or(1000), watcher->service},
        [watcher](Result<std::vector<model::TimelineRow>> rows) {
            std::vector<model::TimelineRow> all;
            if (rows) all = std::move(*rows);
            const std::int64_t last = all.empty() ? watcher->after : all.back().sequence;
            for (const model::TimelineRow& row : watcher->waiting) {
                if (row.sequence > last) all.push_back(row);
            }
            for (const model::TimelineRow& row : all) watcher->to.part(timeline_json(row) + "\n");
            watcher->has_begun = true;
            watcher->waiting.clear();
        });
}

void Api::said(const model::TimelineRow& row) {
    for (const std::shared_ptr<Watcher>& watcher : watchers_) {
        if (!watcher->service.empty() && watcher->service != row.service) continue;
        if (watcher->has_begun) {
            watcher->to.part(timeline_json(row) + "\n");
        } else {
            watcher->waiting.push_back(row);
        }
    }
}

// So that a dead peer is noticed, and a living one knows that we live.
void Api::beat() {
    std::erase_if(watchers_, [](const auto& watcher) { return !watcher->to.is_open(); });
    for (const std::shared_ptr<Watcher>& watcher : watchers_) watcher->to.part("\n");
    beat_ = control_.env_.timers.after(kBeat, [this] { beat(); });
}

}  // namespace thole::control
