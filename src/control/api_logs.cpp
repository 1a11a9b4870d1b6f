// What services say, for `thole logs` and for those that fail. Spools are read in Background: a
// disk that hangs stops no decision.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "base/parse.h"
#include "control/api.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

constexpr Duration kReadPause = 100ms;
constexpr Duration kLastLinesLimit = 500ms;
constexpr Duration kAdoptionLimit = 1s;
constexpr Duration kAdoptionPause = 10ms;
constexpr std::size_t kReadBytes = 256 * 1024;
constexpr std::size_t kLastLines = 20;
constexpr std::int64_t kLinesDefault = 200;

}  // namespace

SpoolSource Api::source_of(const Service& service, const Slot& slot) const {
    const std::string path = control_.spool_of(service, slot.row);
    SpoolSource source;
    source.service = service.row.name;
    source.instance = slot.row.is_build ? service.row.name + "-build"
                                        : fmt::format("{}-{}", service.row.name, slot.row.slot);
    source.path_out = path + ".out";
    source.path_err = path + ".err";
    std::copy_n(slot.dropped_bytes, 2, source.dropped);
    return source;
}

// The whole picture, with the last words of those that fail: of the build where that went wrong,
// else of the slot that was used last.
// Right after its start control knows nothing of what runs: keeper says it in a moment, and where
// there is no keeper that is to be seen, too.
void Api::get_system(const web::Responder& to) {
    if (!control_.was_adopted_ && control_.env_.clock.now() - began_ < kAdoptionLimit) {
        early_.push_back(to);
        if (early_.size() > 1) return;
        answer_early_ = control_.env_.timers.after(kAdoptionPause, [this] {
            for (const web::Responder& each : std::exchange(early_, {})) get_system(each);
        });
        return;
    }
    const auto said = std::make_shared<SystemSaid>();
    const auto sources = std::make_shared<std::vector<SpoolSource>>();
    for (const auto& [id, service] : control_.world_.services) {
        if (!wants_last_lines(control_.world_, service)) continue;
        const bool of_build = service.deploy && service.deploy->status == "broken";
        const Slot* newest = nullptr;
        for (const auto& [number, slot] : control_.world_.slots) {
            if (slot.row.service != id || slot.row.is_build != of_build) continue;
            if (newest == nullptr || slot.used > newest->used) newest = &slot;
        }
        if (newest != nullptr) sources->push_back(source_of(service, *newest));
    }
    const auto is_answered = std::make_shared<bool>(false);
    const auto answer = [this, alive = alive_, to,
                         is_answered](const std::shared_ptr<SystemSaid>& all) {
        if (!*alive || std::exchange(*is_answered, true)) return;
        all->id = control_.options_.id;
        all->trouble = control_.store_->trouble();
        all->is_root = control_.env_.processes.self().uid == 0;
        all->now = control_.env_.clock.now();
        all->wall = control_.env_.clock.wall();
        to.answer(200, system_json(control_.world_, *all));
    };
    if (sources->empty()) return answer(said);
    // Whoever copies or builds is before us, or the disk hangs: then without their words.
    const auto impatient = std::make_shared<env::Timer>(control_.env_.timers.after(
        kLastLinesLimit, [answer] { answer(std::make_shared<SystemSaid>()); }));
    control_.env_.errands.run(
        [&files = control_.env_.files, said, sources] {
            for (const SpoolSource& source : *sources) {
                std::vector<std::string>& lines = said->last_lines[source.service];
                for (const LogStream stream : {LogStream::Out, LogStream::Err}) {
                    SpoolTail tail(files, source, stream);
                    const auto last = tail.last_lines(kLastLines);
                    for (const LogLine& line : last ? *last : std::vector<LogLine>{})
                        lines.push_back(line.text);
                    for (const LogLine& line : tail.take_unfinished()) lines.push_back(line.text);
                }
                if (lines.size() > kLastLines)
                    lines.erase(lines.begin(),
                                lines.end() - static_cast<std::ptrdiff_t>(kLastLines));
            }
        },
        [answer, said, impatient] { answer(said); });
}

void Api::get_logs(const web::ServerRequest& request, const web::Responder& to) {
    const std::string wanted(request.parameter("service"));
    const std::string_view since = request.parameter("since");
    const std::string_view count = request.parameter("lines");
    const Result<std::int64_t> lines =
        count.empty() ? Result<std::int64_t>(kLinesDefault)
                      : parse_integer(count, 0, static_cast<std::int64_t>(kLogLinesMax));
    if (!lines) return to.refuse(Error{lines.error()}.within("lines"));
    const Result<Duration> ago = since.empty() ? Result<Duration>(kForever) : parse_duration(since);
    if (!ago) return to.refuse(Error{ago.error()}.within("since"));
    if (!wanted.empty() && find_service(control_.world_, wanted) == nullptr)
        return to.refuse(
            not_found(fmt::format("there is no service '{}'", wanted)).with_hint("thole ps"));
    const bool of_build = request.parameter("build") == "1";
    const auto reader = std::make_shared<Reader>(Reader{to, {}, 0, false, false});
    reader->lines = static_cast<std::size_t>(*lines);
    reader->follows = request.parameter("follow") == "1";
    for (const auto& [number, slot] : control_.world_.slots) {
        const auto service = control_.world_.services.find(slot.row.service);
        if (service == control_.world_.services.end() || slot.row.is_build != of_build) continue;
        if (!wanted.empty() && service->second.row.name != wanted) continue;
        const SpoolSource source = source_of(service->second, slot);
        for (const LogStream stream : {LogStream::Out, LogStream::Err}) {
            reader->tails.push_back(std::make_unique<Tail>(
                Tail{source, stream, SpoolTail(control_.env_.files, source, stream)}));
            if (*ago == kForever) continue;
            const std::string& path = stream == LogStream::Out ? source.path_out : source.path_err;
            const Time from = control_.env_.clock.now() - *ago;
            reader->tails.back()->tail.start_at(marks_[path].offset_at(from));
            reader->has_begun = true;
        }
    }
    to.begin(200, "application/x-ndjson");
    readers_.emplace_back(reader, env::Timer());
    read_on(reader);
}

void Api::read_on(const std::shared_ptr<Reader>& reader) {
    const auto text = std::make_shared<std::string>();
    const auto is_behind = std::make_shared<bool>(false);
    control_.env_.errands.run(
        [reader, text, is_behind, now = control_.env_.clock.now()] {
            for (const std::unique_ptr<Tail>& each : reader->tails) {
                const auto lines = reader->has_begun ? each->tail.read_new(kReadBytes, now)
                                                     : each->tail.last_lines(reader->lines);
                for (const LogLine& line : lines ? *lines : std::vector<LogLine>{})
                    *text += log_line_json(each->source, each->stream, line) + "\n";
                *is_behind = *is_behind || (reader->has_begun && each->tail.is_behind());
                if (reader->follows || *is_behind) continue;
                for (const LogLine& line : each->tail.take_unfinished())
                    *text += log_line_json(each->source, each->stream, line) + "\n";
            }
            reader->has_begun = true;
        },
        [this, alive = alive_, reader, text, is_behind] {
            if (!*alive) return;
            if (!text->empty()) reader->to.part(*text);
            const auto mine = std::find_if(readers_.begin(), readers_.end(),
                                           [&](const auto& each) { return each.first == reader; });
            const bool is_over = !reader->to.is_open() || (!reader->follows && !*is_behind);
            if (is_over) {
                reader->to.end();
                readers_.erase(mine);
                return;
            }
            mine->second = control_.env_.timers.after(*is_behind ? Duration::zero() : kReadPause,
                                                      [this, reader] { read_on(reader); });
        });
}

}  // namespace thole::control
