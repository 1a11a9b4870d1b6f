// `thole metrics`.
#include "base/json.h"
#include "cli/commands.h"

namespace thole::cli {

Result<int> metrics(const Arguments&, Client& client, Console& console) {
    if (!console.is_json()) {
        console.data(TRY(client.get("/metrics")));
        return kServing;
    }
    const std::string body = TRY(client.get("/api/v1/metrics"));
    TRY(read_answer(body));
    JsonWriter w;
    console.data(w.begin_object().member("format", 1).key("metrics").raw(body).end_object().take());
    return kServing;
}

}  // namespace thole::cli
