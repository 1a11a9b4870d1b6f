// `thole upgrade`.
#include <fmt/format.h>

#include "base/json.h"
#include "cli/commands.h"
#include "cli/printable.h"

namespace thole::cli {

Result<int> upgrade(const Arguments& arguments, Client& client, Console& console) {
    if (!arguments.has("edge"))
        return invalid("nothing but the edge can be upgraded yet")
            .with_hint("thole upgrade --edge");
    JsonWriter w;
    w.begin_object();
    if (arguments.has("binary")) {
        std::string path = arguments.value("binary");
        if (!path.starts_with('/')) path = TRY(client.outside().real_folder(".")) + "/" + path;
        w.member("binary", path);
    }
    const std::string body = TRY(client.post("/api/v1/edge/upgrade", w.end_object().take()));
    const Json done = TRY(read_answer(body));
    const auto number = [&done](std::string_view key) { return done.integer_at(key).value_or(0); };
    console.talk(
        fmt::format("the edge is pid {}, and was {}: {} connections handed over, {} tunnels among "
                    "them; nothing "
                    "moved for {:.1f} ms; requests failed: {}",
                    number("new_pid"), number("old_pid"), number("connections"), number("tunnels"),
                    static_cast<double>(number("quiet_us")) / 1000, number("failed")));
    if (console.is_json())
        console.data(JsonWriter()
                         .begin_object()
                         .member("format", 1)
                         .member("result", "upgraded")
                         .member("exit", kServing)
                         .key("edge")
                         .raw(body)
                         .end_object()
                         .take());
    return kServing;
}

}  // namespace thole::cli
