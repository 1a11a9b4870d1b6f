// YAML 1.2.2, section 10.3.2: what a plain scalar is.
#include <algorithm>

#include "manifest/node.h"

namespace thole::manifest {

namespace {

template <typename Test>
bool take_some(std::string_view& text, Test test) {
    std::size_t count = 0;
    while (count < text.size() && test(text[count])) ++count;
    text.remove_prefix(count);
    return count > 0;
}

bool take_digits(std::string_view& text) {
    return take_some(text, [](char c) { return '0' <= c && c <= '9'; });
}

void take_sign(std::string_view& text) {
    if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
}

bool is_one_of(std::string_view text, std::initializer_list<std::string_view> forms) {
    return std::find(forms.begin(), forms.end(), text) != forms.end();
}

// [-+]? [0-9]+ | 0o [0-7]+ | 0x [0-9a-fA-F]+
bool is_integer(std::string_view text) {
    if (text.substr(0, 2) == "0o") {
        text.remove_prefix(2);
        return take_some(text, [](char c) { return '0' <= c && c <= '7'; }) && text.empty();
    }
    if (text.substr(0, 2) == "0x") {
        text.remove_prefix(2);
        return !text.empty() &&
               text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
    }
    take_sign(text);
    return take_digits(text) && text.empty();
}

// [-+]? ( \. [0-9]+ | [0-9]+ ( \. [0-9]* )? ) ( [eE] [-+]? [0-9]+ )? | [-+]? .inf | .nan
bool is_float(std::string_view text) {
    if (is_one_of(text, {".nan", ".NaN", ".NAN"})) return true;
    take_sign(text);
    if (is_one_of(text, {".inf", ".Inf", ".INF"})) return true;
    const bool has_whole = take_digits(text);
    bool has_part = false;
    if (!text.empty() && text.front() == '.') {
        text.remove_prefix(1);
        has_part = take_digits(text);
    }
    if (!has_whole && !has_part) return false;
    if (!text.empty() && (text.front() == 'e' || text.front() == 'E')) {
        text.remove_prefix(1);
        take_sign(text);
        if (!take_digits(text)) return false;
    }
    return text.empty();
}

}  // namespace

Node::Kind kind_of_plain(std::string_view text) {
    if (is_one_of(text, {"", "~", "null", "Null", "NULL"})) return Node::Kind::Null;
    if (is_one_of(text, {"true", "True", "TRUE", "false", "False", "FALSE"})) {
        return Node::Kind::Boolean;
    }
    if (is_integer(text)) return Node::Kind::Integer;
    return is_float(text) ? Node::Kind::Float : Node::Kind::Text;
}

std::string_view name_of(Node::Kind kind) {
    switch (kind) {
        case Node::Kind::Refused: return "refused";
        case Node::Kind::Null: return "nothing";
        case Node::Kind::Boolean: return "true or false";
        case Node::Kind::Integer: return "a number";
        case Node::Kind::Float: return "a number with a fraction";
        case Node::Kind::Text: return "a text";
        case Node::Kind::List: return "a list";
        case Node::Kind::Map: return "a map";
    }
    return "";
}

const Node* Node::find(std::string_view name) const {
    if (kind != Kind::Map) return nullptr;
    for (const Node& child : children) {
        if (child.key == name) return &child;
    }
    return nullptr;
}

}  // namespace thole::manifest
