// thole fault: what it asks for, and what it refuses before it asks.
#include "cli/console.h"
#include "cli/scripted_test.h"

namespace thole::cli {
namespace {

class FaultTest : public CliTest {
protected:
    FaultTest() {
        serve();
        answers_["POST /api/v1/faults"] = [this](const web::ServerRequest& request,
                                                 const web::Responder& to) {
            asked_ = request.body;
            to.answer(200, R"({"id":3})");
        };
    }
    std::string asked_;
};

TEST_F(FaultTest, AsksForWhatTheWordsSay) {
    EXPECT_EQ(thole({"fault", "web", "--delay", "200ms", "--jitter", "50ms", "--share", "0.5%",
                     "--for", "30s", "--header", "X-Run=a=b"}),
              0);
    EXPECT_EQ(asked_, R"({"service":"web","kind":"delay","delay_ms":200,"jitter_ms":50,"share":5,)"
                      R"("field":"X-Run","value":"a=b","for_ms":30000})");
    EXPECT_EQ(outside_.talk_, "fault 3 is on and ends after 30s; sooner: thole fault --stop 3\n");
    EXPECT_EQ(thole({"fault", "web", "--partition", "--caller", "shop", "--for", "1m"}), 0);
    EXPECT_EQ(asked_,
              R"({"service":"web","kind":"partition","share":1000,"whole":true,"caller":"shop",)"
              R"("for_ms":60000})");
    EXPECT_EQ(thole({"fault", "web", "--hang", "--share", "1%", "--for", "1s", "--release", "v2",
                     "--instance", "web-17"}),
              0);
    EXPECT_EQ(asked_, R"({"service":"web","kind":"hang","share":10,"release":"v2",)"
                      R"("instance":"web-17","for_ms":1000})");
    EXPECT_EQ(thole({"fault", "web", "--rate", "10Ki/s", "--share", "10%", "--for", "1s", "--why",
                     "to see"}),
              0);
    EXPECT_EQ(asked_,
              R"({"service":"web","kind":"slow-body","rate":10240,"share":100,"for_ms":1000,)"
              R"("why":"to see"})");
}

TEST_F(FaultTest, RefusesWhatMakesNoSense) {
    const std::vector<std::vector<std::string>> all = {
        {"fault"},
        {"fault", "web", "--reset", "--share", "1%"},
        {"fault", "web", "--reset", "--for", "1s"},
        {"fault", "web", "--share", "1%", "--for", "1s"},
        {"fault", "web", "--reset", "--hang", "--share", "1%", "--for", "1s"},
        {"fault", "web", "--partition", "--for", "1s"},
        {"fault", "web", "--partition", "--caller", "a", "--abort", "503", "--for", "1s"},
        {"fault", "web", "--partition", "--caller", "a", "--hang", "--for", "1s"},
        {"fault", "web", "--reset", "--share", "0%", "--for", "1s"},
        {"fault", "web", "--reset", "--share", "101%", "--for", "1s"},
        {"fault", "web", "--reset", "--share", "0.01%", "--for", "1s"},
        {"fault", "web", "--reset", "--share", "5", "--for", "1s"},
        {"fault", "web", "--rate", "10Ki", "--share", "1%", "--for", "1s"},
        {"fault", "web", "--abort", "200", "--share", "1%", "--for", "1s"},
        {"fault", "web", "--reset", "--share", "1%", "--for", "1s", "--header", "X-Run"},
    };
    for (const std::vector<std::string>& words : all) {
        outside_.talk_.clear();
        EXPECT_EQ(thole(words), 2) << outside_.talk_;
    }
    EXPECT_EQ(asked_, "");
}

TEST_F(FaultTest, EndsOneOrAllThatAreOn) {
    int ended = 0;
    answers_["GET /api/v1/faults"] = [](const web::ServerRequest&, const web::Responder& to) {
        to.answer(200, R"({"faults":[{"id":1,"on":true,"service":"web","text":"10 % hang"},)"
                       R"({"id":2,"on":false},{"id":7,"on":true}]})");
    };
    for (const char* const id : {"1", "7"}) {
        answers_["DELETE /api/v1/faults/" + std::string(id)] = [&ended](const web::ServerRequest&,
                                                                        const web::Responder& to) {
            ++ended;
            to.answer(200, "{}");
        };
    }
    EXPECT_EQ(thole({"fault", "--stop", "7"}), 0);
    EXPECT_EQ(ended, 1);
    EXPECT_EQ(thole({"fault", "--all"}), 0);
    EXPECT_EQ(ended, 3) << "not the one that is over";
    EXPECT_EQ(thole({"fault", "--list"}), 0);
    EXPECT_NE(outside_.data_.find("10 % hang"), std::string::npos) << outside_.data_;
}

}  // namespace
}  // namespace thole::cli
