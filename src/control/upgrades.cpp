// Another binary of the edge: keeper starts it beside the one that serves, and the two of them say
// what became of it. Control only asks, waits and tells.
#include <fmt/format.h>

#include <cstring>
#include <utility>

#include "base/json.h"
#include "base/parse.h"
#include "control/api.h"
#include "control/control.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// An edge that does not start is given up after 5 s, one that hangs 2 s later.
constexpr Duration kUpgradeLimit = 15s;

}  // namespace

void Control::upgrade_edge(std::string_view program, UpgradeAnswered answered) {
    if (upgrade_)
        return answered(
            conflict("another upgrade of the edge is under way").with_hint("thole timeline"));
    if (!keeper_->is_synced() || !edge_->is_connected())
        return answered(
            unavailable("the edge is just being replaced").with_hint("thole upgrade --edge"));
    upgrade_.emplace(
        Upgrade{world_.edge.pid, std::move(answered), env_.timers.after(kUpgradeLimit, [this] {
                    upgrade_failed("neither edge has said in 15 s what became of it");
                })});
    keeper_->upgrade_edge(program);
}

void Control::on_upgraded(const wire::Upgraded& done) {
    if (!upgrade_) return;
    // Told to each control that comes, also by the edge that is to be replaced, of itself. The one
    // that keeper knew may have been another than ours: a holder that had just become it.
    const bool is_another = done.new_pid != 0 && done.new_pid != upgrade_->old_pid;
    if (done.old_pid != upgrade_->old_pid && !is_another) return;
    if (done.new_pid == 0)
        return upgrade_failed({done.reason, ::strnlen(done.reason, sizeof(done.reason))});
    say({.kind = "edge upgraded",
         .text = fmt::format("pid {} took over from {}: {} connections, {} tunnels among them; "
                             "nothing moved for {}",
                             done.new_pid, done.old_pid, done.connections, done.tunnels,
                             format_duration(Duration(done.quiet)))});
    const UpgradeAnswered answered = std::move(upgrade_->answered);
    upgrade_.reset();
    answered(done);
}

// A new edge has said before this that it is one.
void Control::upgrade_meets(const wire::Welcome& welcome) {
    if (upgrade_ && welcome.pid != upgrade_->old_pid)
        upgrade_failed("the edge died meanwhile, and another one took its place");
}

void Control::upgrade_failed(std::string_view why) {
    if (!upgrade_) return;
    say({.kind = "edge not upgraded", .text = std::string(why)});
    // Its timer's call may be what we are in.
    const Upgrade upgrade = std::exchange(upgrade_, std::nullopt).value();
    upgrade.answered(conflict(fmt::format("the edge was not upgraded, and goes on: {}", why))
                         .with_hint("thole help upgrade"));
}

void Api::post_upgrade(const web::ServerRequest& request, const web::Responder& to) {
    const Result<Json> body = parse_json(request.body);
    if (!body) return to.refuse(body.error());
    std::string program;
    if (body->find("binary") != nullptr) {
        const Result<std::string> said = body->text_at("binary");
        if (!said) return to.refuse(said.error());
        program = *said;
        const bool is_whole = program.size() < sizeof(wire::UpgradeEdgeRequest::program) &&
                              program.find('\0') == std::string::npos;
        if (!program.starts_with('/') || !is_whole)
            return to.refuse(invalid("binary: must be an absolute path of less than 1024 bytes"));
    }
    if (control_.world_.is_down)
        return to.refuse(conflict("the system is stopping").with_hint("thole up"));
    control_.upgrade_edge(program, [to](const Result<wire::Upgraded>& done) {
        if (!done) return to.refuse(done.error());
        to.answer(200, JsonWriter()
                           .begin_object()
                           .member("old_pid", done->old_pid)
                           .member("new_pid", done->new_pid)
                           .member("connections", done->connections)
                           .member("tunnels", done->tunnels)
                           .member("failed", done->lost)
                           .member("quiet_us", done->quiet / 1000)
                           .end_object()
                           .take());
    });
}

}  // namespace thole::control
