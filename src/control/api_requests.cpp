// What became of one request: asked of the edge, and of access.log, which goes back further.
#include <fmt/format.h>

#include <utility>

#include "control/api.h"
#include "control/requests.h"

namespace thole::control {
namespace {

using namespace std::chrono_literals;

// access.log may lie on a disk that hangs, or behind whoever builds: then without it.
constexpr Duration kAccessLimit = 2s;
constexpr std::size_t kAccessBytesMax = 2 * model::kAccessFileBytes;

Error unknown(std::string_view id, const std::optional<EdgeClient::Found>& found, bool was_read) {
    const std::string log =
        was_read ? "access.log has none either: it keeps all that failed or were slow, and some of "
                   "the rest"
                 : "access.log could not be read in time";
    if (!found)
        return unavailable(fmt::format("the edge does not answer; {}", log)).with_hint("thole ps");
    const wire::WhyHeader& header = found->first;
    const std::string reach =
        header.oldest == 0 ? std::string("has seen no request yet")
                           : fmt::format("remembers {} requests, back to {} ago", header.kept,
                                         format_duration(Duration(header.now - header.oldest)));
    return not_found(fmt::format("no request {}: the edge {}; {}", id, reach, log))
        .with_hint("thole timeline");
}

}  // namespace

// One answer, whichever comes first: the file's words, or the end of patience.
struct Api::Inquiry {
    web::Responder to;
    std::string id;
    wire::WhyRequest asked;
    std::optional<EdgeClient::Found> found;
    std::vector<ToldRequest> told;
    bool is_answered = false;
    env::Timer impatient;
};

void Api::get_request(std::string_view id, const web::Responder& to) {
    const Result<wire::WhyRequest> asked = read_request_id(id);
    if (!asked) return to.refuse(asked.error());
    const auto inquiry =
        std::make_shared<Inquiry>(Inquiry{to, std::string(id), *asked, {}, {}, false, {}});
    control_.edge_->why(*asked, [this, alive = alive_, inquiry](auto found) {
        if (!*alive) return;
        const Time now = control_.env_.clock.now();
        const WallTime wall = control_.env_.clock.wall();
        inquiry->found = std::move(found);
        for (const wire::RequestRecord& row :
             inquiry->found ? inquiry->found->second : std::vector<wire::RequestRecord>{})
            inquiry->told.push_back({row, wall - (now - time_from_nanoseconds(row.begun))});
        read_access(inquiry);
    });
}

void Api::read_access(const std::shared_ptr<Inquiry>& inquiry) {
    inquiry->impatient = control_.env_.timers.after(kAccessLimit, [this, alive = alive_, inquiry] {
        if (*alive) answer_inquiry(*inquiry, FileWas::TooSlow);
    });
    const auto found = std::make_shared<std::vector<ToldRequest>>();
    control_.env_.errands.run(
        [&files = control_.env_.files, asked = inquiry->asked, found,
         path = control_.options_.data + "/edge/access.log"] {
            for (const std::string& each : {path + ".1", path}) {
                const Result<std::string> text = files.read(each, kAccessBytesMax);
                if (text.ok()) add_missing(*found, find_in_access(*text, asked));
            }
        },
        [this, alive = alive_, inquiry, found] {
            if (!*alive || inquiry->is_answered) return;
            add_missing(inquiry->told, *found);
            answer_inquiry(*inquiry, FileWas::Read);
        });
}

void Api::answer_inquiry(Inquiry& inquiry, FileWas file) {
    if (std::exchange(inquiry.is_answered, true)) return;
    inquiry.impatient = {};
    if (inquiry.told.empty())
        return inquiry.to.refuse(unknown(inquiry.id, inquiry.found, file == FileWas::Read));
    const Result<std::string> json = requests_json(control_.world_, inquiry.told);
    if (!json) return inquiry.to.refuse(json.error());
    inquiry.to.answer(200, *json);
}

}  // namespace thole::control
