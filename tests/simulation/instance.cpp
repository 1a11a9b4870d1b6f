#include "instance.h"

#include <utility>

#include "base/parse.h"
#include "wire/image.h"

namespace thole::simulation {
namespace {

using namespace std::chrono_literals;

constexpr std::int32_t kExitOne = 1 << 8;
constexpr std::int32_t kSegmentFault = 11;
constexpr std::int32_t kTerminated = 15;

}  // namespace

Program read_program(std::string_view bytes) {
    Program program;
    wire::ImageView image;
    if (!image.open(bytes)) return program;
    std::vector<const char*> argv(image.header().argc + 1);
    std::vector<const char*> envp(image.header().envc + 1);
    image.fill(argv.data(), envp.data());
    program.folder = image.cwd();
    program.uid = image.header().uid;
    for (std::size_t i = 0; i + 1 < envp.size(); ++i) {
        const std::string_view line = envp[i];
        const std::string_view key = line.substr(0, line.find('='));
        const std::string_view value = line.substr(std::min(line.size(), key.size() + 1));
        const auto number = [&] { return parse_integer(value, 0, 65535).value_or(0); };
        if (key == "THOLE_SERVICE" || key == "THOLE_BUILD") program.service = value;
        if (key == "THOLE_BUILD") program.is_build = true;
        if (key == "THOLE_RELEASE") program.release = static_cast<std::uint32_t>(number());
        if (key == "THOLE_RESTART") program.restart = static_cast<std::uint32_t>(number());
        if (key == "STATE_DIR") program.keeps_state = true;
        if (key.ends_with("_URL"))
            program.calls.push_back(static_cast<std::uint16_t>(
                parse_integer(value.substr(value.rfind(':') + 1), 0, 65535).value_or(0)));
        if (key == "PORT") program.port = static_cast<std::uint16_t>(number());
    }
    return program;
}

Instance::Instance(sim::SimHost& host, const std::string& name, Program program, Events events)
    : host_(host),
      process_(host.process(name)),
      program_(std::move(program)),
      events_(std::move(events)) {}

void Instance::start() {
    sim::SimLoop& loop = host_.loop();
    const Result<std::string> read =
        process_.env().files.read(program_.folder + "/behaviour", 1024);
    if (!read) return end_after({1ms, 5ms}, kExitOne);
    program_.behaviour = *read;
    if (program_.is_build) {
        end_ = process_.env().timers.after(loop.draw({20ms, 1s}), [this] { end(build()); });
        return;
    }
    const bool is_built = program_.behaviour.ends_with(kIsBuilt);
    const Result<std::string> made = process_.env().files.read(program_.folder + "/made", 1024);
    if (is_built && (!made || *made != program_.behaviour)) return end_after({1ms, 5ms}, kExitOne);
    if (behaves("exits")) return end_after({1ms, 100ms}, kExitOne);
    if (behaves("silent") || program_.port == 0) return;
    start_ = process_.env().timers.after(loop.draw({5ms, 800ms}), [this] { listen(); });
}

// What a compiler leaves: nobody has synced it.
std::int32_t Instance::build() {
    if (behaves("unbuildable")) return kExitOne;
    const Status made = process_.env().files.replace(program_.folder + "/made", program_.behaviour,
                                                     env::Durability::None, 0755);
    return made ? 0 : kExitOne;
}

void Instance::listen() {
    server_ = std::make_unique<web::Server>(
        process_.env(), web::ServerOptions{},
        [](const web::ServerRequest&, const web::Responder& to) { to.answer(200, "{}"); });
    auto listening = process_.env().network.listen(
        {.port = program_.port},
        [this](std::unique_ptr<env::Stream> stream) { server_->accept(std::move(stream)); });
    if (!listening) return end_after({1ms, 5ms}, kExitOne);
    listening_ = std::move(*listening);
    if (behaves("crashes")) end_after({200ms, 3s}, kSegmentFault);
}

void Instance::ask_to_end() {
    if (behaves("stubborn")) return;
    end_after({1ms, 300ms}, listening_ == nullptr ? kTerminated : 0);
}

void Instance::end_after(sim::Range when, std::int32_t wait_status) {
    end_ = process_.env().timers.after(host_.loop().draw(when),
                                       [this, wait_status] { end(wait_status); });
}

void Instance::abandon() {
    process_.kill();
    events_ = {[] {}, [](std::int32_t) {}};
}

void Instance::end(std::int32_t wait_status) {
    if (!process_.is_alive()) return;
    events_.died();
    process_.kill();
    const bool is_slow = host_.loop().random().chance(0.1);
    const Duration after = host_.loop().draw({10us, is_slow ? Duration(500ms) : Duration(2ms)});
    host_.loop().schedule(after,
                          {"reap", nullptr, [this, wait_status] { events_.ended(wait_status); }});
}

}  // namespace thole::simulation
