"""One request and more for each rule of HTTP/1.1 that the edge keeps: refused with the rule's id, or passed on."""


def get(*fields, line="GET / HTTP/1.1", host="Host: shop"):
    return "\r\n".join((line, *([host] if host else []), *fields, "", "")).encode("latin-1")


def post(field, body=b"", line="POST / HTTP/1.1"):
    return get(field, line=line) + body


def chunked(body):
    return post("Transfer-Encoding: chunked", body)


FIVE = b"5\r\nhello\r\n"
LAST = b"0\r\n\r\n"

# Each: the rule's id, the status, the bytes.
REFUSED = [
    # Framing by two ways, or by one said twice.
    ("H1-TE-CL", 400, get("Content-Length: 5", "Transfer-Encoding: chunked", line="POST / HTTP/1.1") + LAST),
    ("H1-TE-CL", 400, get("Transfer-Encoding: chunked", "Content-Length: 0", line="POST / HTTP/1.1") + LAST),
    ("H1-TE-10", 400, post("Transfer-Encoding: chunked", LAST, line="POST / HTTP/1.0")),
    ("H1-CL-DUP", 400, get("Content-Length: 5", "Content-Length: 5", line="POST / HTTP/1.1") + b"hello"),
    ("H1-CL-DUP", 400, get("Content-Length: 5", "content-length: 6", line="POST / HTTP/1.1") + b"hello!"),
    *(("H1-CL", 400, post(f"Content-Length: {value}", b"hello"))
      for value in ("5, 5", "5,6", "+5", "-5", "0x5", "1_0", "", "5 5", "5;", "5.0", "five", "\xb2")),
    ("H1-CL-RANGE", 400, post("Content-Length: 9223372036854775808")),
    ("H1-CL-RANGE", 400, post("Content-Length: 00000000000000000005", b"hello")),
    ("H1-TE-DUP", 400, get("Transfer-Encoding: chunked", "Transfer-Encoding: chunked") + LAST),
    ("H1-TE-DUP", 400, get("Transfer-Encoding: chunked", "transfer-encoding: identity") + LAST),
    *(("H1-TE", 400, post(f"Transfer-Encoding: {value}", LAST)) for value in (",chunked", "chunked,", "", "chunked\xa0",
                                                                            "\xa0chunked", "\x85chunked")),
    *(("H1-CTL", 400, post(f"Transfer-Encoding: {value}", LAST)) for value in ("\vchunked", "chunked\f", "chun\0ked")),
    *(("H1-TE-CODING", 501, post(f"Transfer-Encoding: {value}", LAST))
      for value in ("xchunked", "identity", "gzip, chunked", "chunked, chunked", "chunked;a=b", '"chunked"')),
    # Chunks.
    *(("H1-CHUNK-SIZE", 400, chunked(size + b"\r\nhello\r\n" + LAST))
      for size in (b"", b" 5", b"+5", b"-5", b"0x5", b"5_", b"g", b"00000000000000005")),
    ("H1-CHUNK-RANGE", 400, chunked(b"8000000000000000\r\nhello\r\n" + LAST)),
    ("H1-CHUNK-RANGE", 400, chunked(b"ffffffffffffffff\r\nhello\r\n" + LAST)),
    *(("H1-CHUNK-CRLF", 400, chunked(body + LAST))
      for body in (b"5\nhello\r\n", b"5\r\nhello\n", b"5\r\nhelloxx", b"5\r\nhello\rx", b"5\rxhello\r\n", b"5;a\nhello\r\n")),
    ("H1-TRAILER", 400, chunked(FIVE + b"0\r\n\n")),
    *(("H1-CHUNK-EXT", 400, chunked(b"5" + extension + b"\r\nhello\r\n" + LAST))
      for extension in (b";;;", b";", b";=a", b";a=", b";a\0b", b";a=\"b", b";a b", b" ", b";a ", b";a=b c", b";\xe9")),
    ("H1-CHUNK-EXT-LONG", 400, chunked(b"5;" + b"a" * 1025 + b"\r\nhello\r\n" + LAST)),
    ("H1-CHUNK-EXT-LONG", 400, chunked((b"1;" + b"a" * 600 + b"\r\nx\r\n") * 2 + LAST)),
    *(("H1-TRAILER", 400, chunked(FIVE + b"0\r\n" + trailer + b"\r\n\r\n"))
      for trailer in (b"no colon", b": a", b"a : b", b" a: b", b"a: b\0", b"a: b\nContent-Length: 5", b"a: b\r c")),
    ("H1-TRAILER-LONG", 431, chunked(FIVE + b"0\r\n" + b"a: " + b"b" * 8192 + b"\r\n\r\n")),
    # Lines.
    ("H1-LF", 400, b"GET / HTTP/1.1\nHost: shop\n\n"),
    ("H1-LF", 400, b"GET / HTTP/1.1\r\nHost: shop\r\n\n"),
    ("H1-LF", 400, get("X: a\nTransfer-Encoding: chunked")),
    ("H1-CR", 400, get("X: a\rTransfer-Encoding: chunked")),
    ("H1-CR", 400, b"GET / HTTP/1.1\rHost: shop\r\n\r\n"),
    ("H1-NAME-SPACE", 400, post("Content-Length : 5", b"hello")),
    ("H1-NAME-SPACE", 400, post("Transfer-Encoding\t: chunked", LAST)),
    ("H1-LINE-START", 400, b" " + get()),
    ("H1-LINE-START", 400, b"\r\n\r\n" + get()),
    ("H1-COLON", 400, get("no colon")),
    ("H1-COLON", 400, get("Transfer-Encoding")),
    ("H1-NAME-EMPTY", 400, get(": chunked")),
    *(("H1-NAME", 400, get(f"{name}: chunked")) for name in ("Transfer(Encoding", "Transfer-Encoding\xe9", "X@", "Transfer Encoding")),
    *(("H1-CTL", 400, get(f"X: a{byte}b")) for byte in "\0\x01\x08\x0b\x0c\x1b\x1f\x7f"),
    ("H1-FOLD", 400, get("X: a", " b")),
    ("H1-FOLD", 400, post("Transfer-Encoding: chunked\r\n ,identity", LAST)),
    ("H1-TE", 400, post("Transfer-Encoding:\r\n chunked", LAST)),
    ("H1-FOLD", 400, get("\tX: a")),
    ("H1-FOLD", 400, b"GET / HTTP/1.1\r\n Host: shop\r\n\r\n"),
    *(("H1-NAME-TWIN", 400, get(f"{name}: 5"))
      for name in ("Transfer_Encoding", "Content_Length", "content_LENGTH", "X_Forwarded_For", "X-Forwarded_Proto", "X_Real_IP",
                   "X_Request_Id", "Transfer--Encoding", "HTTP2_Settings")),
    # The request line.
    ("H1-METHOD", 400, get(line="G(T / HTTP/1.1")),
    ("H1-METHOD", 400, get(line="GET\t/ HTTP/1.1")),
    ("H1-METHOD", 400, get(line="A" * 33 + " / HTTP/1.1")),
    ("H1-CTL", 400, b"\x16\x03\x01\x02\x00\x01\x00\x01"),
    *(("H1-LINE-SPACE", 400, get(line=line))
      for line in ("GET  / HTTP/1.1", "GET /  HTTP/1.1", "GET / HTTP/1.1 ", "GET /a b HTTP/1.1", "GET")),
    *(("H1-VERSION", 400, get(line=line))
      for line in ("GET /", "GET / HTTP/1.10", "GET / http/1.1", "GET / HTTP/0.9", "GET / HTTP/01.1", "GET / HTTP/1,1", "GET / HTTP/")),
    *(("H1-VERSION-NUMBER", 505, get(line=line)) for line in ("GET / HTTP/1.2", "GET / HTTP/2.0", "PRI * HTTP/2.0")),
    *(("H1-TARGET-BYTE", 400, get(line=f"GET {target} HTTP/1.1")) for target in ("/a#b", "/\xc3\xa9", "/a\tb")),
    ("H1-CTL", 400, get(line="GET /a\x01b HTTP/1.1")),
    ("H1-TARGET-LONG", 414, get(line="GET /" + "a" * 8192 + " HTTP/1.1")),
    ("H1-HEAD-LONG", 431, get("X: " + "a" * 32 * 1024)),
    ("H1-FIELDS-MANY", 431, get(*["X: a"] * 100)),
    *(("H1-TARGET-FORM", 400, get(line=line))
      for line in ("GET * HTTP/1.1", "GET a HTTP/1.1", "GET shop:80 HTTP/1.1", "GET ftp://shop/ HTTP/1.1", "OPTIONS *a HTTP/1.1")),
    ("H1-TARGET-NUL", 400, get(line="GET /a%00b HTTP/1.1")),
    ("H1-TARGET-NUL", 400, get(line="GET http://shop/%00 HTTP/1.1")),
    ("H1-CONNECT", 501, get(line="CONNECT shop:80 HTTP/1.1")),
    ("H1-TRACE", 405, get(line="TRACE / HTTP/1.1")),
    # Host.
    ("H1-HOST-MISSING", 400, get(host="")),
    ("H1-HOST-MISSING", 400, get(line="GET http://shop/ HTTP/1.1", host="")),
    ("H1-HOST-DUP", 400, get("Host: shop")),
    ("H1-HOST-DUP", 400, get("host: other")),
    *(("H1-HOST", 400, get(host=f"Host: {host}"))
      for host in ("", "a b", "a/b", "u@a", "a, b", "a:65536", "a:8x", "[::1", "a?b", "a#b", "a\\b", "a%00", "\xe9", ":80")),
    ("H1-HOST", 400, get(line="GET http://u@shop/ HTTP/1.1")),
    ("H1-HOST", 400, get(line="GET http:///a HTTP/1.1")),
    # What is for this hop only.
    *(("H1-CONN", 400, get(f"Connection: {value}")) for value in ("a b", "close;", "\"close\"")),
    ("H1-CONN-MANY", 400, get("Connection: " + ", ".join("abcdefghijklmnopq"))),
    ("H1-UPGRADE-DUP", 400, get("Connection: upgrade", "Upgrade: a", "Upgrade: b")),
    *(("H1-EXPECT", 417, get(f"Expect: {value}")) for value in ("200-ok", "", "100-continue, x", "100")),
]

# Each: what it is, the bytes; then method, target, host and body as they must leave.
ACCEPTED = [
    ("plain", get(), ("GET", "/", "shop", b"")),
    ("a length with zeros before it", post("Content-Length: 005", b"hello"), ("POST", "/", "shop", b"hello")),
    ("blanks around a length", post("Content-Length: \t5 ", b"hello"), ("POST", "/", "shop", b"hello")),
    ("a length of none", post("Content-Length: 0"), ("POST", "/", "shop", b"")),
    ("chunks", chunked(FIVE + LAST), ("POST", "/", "shop", b"hello")),
    ("the coding in capitals", post("Transfer-Encoding: CHUNKED", FIVE + LAST), ("POST", "/", "shop", b"hello")),
    ("chunk sizes with zeros, in both cases", chunked(b"000A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n"),
     ("POST", "/", "shop", b"0123456789" * 2)),
    ("chunk extensions", chunked(b'5;a;b=c ; d="e\\"\xe9"\r\nhello\r\n0;z\r\n\r\n'), ("POST", "/", "shop", b"hello")),
    ("1 KiB of extensions", chunked(b"5;" + b"a" * 1023 + b"\r\nhello\r\n" + LAST), ("POST", "/", "shop", b"hello")),
    ("trailers that frame and route", chunked(FIVE + b"0\r\nContent-Length: 3\r\nHost: other\r\nTransfer-Encoding: x\r\n\r\n"),
     ("POST", "/", "shop", b"hello")),
    ("chunks that hold a request", chunked(b"1c\r\nGET /x HTTP/1.1\r\nHost: x\r\n\r\n\r\n" + LAST),
     ("POST", "/", "shop", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")),
    ("a body that holds a request", post("Content-Length: 28", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n"),
     ("POST", "/", "shop", b"GET /x HTTP/1.1\r\nHost: x\r\n\r\n")),
    ("a body of a GET", post("Content-Length: 5", b"hello", line="GET / HTTP/1.1"), ("GET", "/", "shop", b"hello")),
    ("chunks of a HEAD", post("Transfer-Encoding: chunked", FIVE + LAST, line="HEAD / HTTP/1.1"), ("HEAD", "/", "shop", b"hello")),
    ("a body of OPTIONS", post("Content-Length: 5", b"hello", line="OPTIONS / HTTP/1.1"), ("OPTIONS", "/", "shop", b"hello")),
    ("a body of DELETE", post("Content-Length: 5", b"hello", line="DELETE / HTTP/1.1"), ("DELETE", "/", "shop", b"hello")),
    ("one empty line before it", b"\r\n" + get(), ("GET", "/", "shop", b"")),
    ("an old client", get(line="GET /old HTTP/1.0"), ("GET", "/old", "shop", b"")),
    ("an old client without a host", get(line="GET /old HTTP/1.0", host=""), ("GET", "/old", "localhost", b"")),
    ("an old client's body", post("Content-Length: 5", b"hello", line="POST / HTTP/1.0"), ("POST", "/", "shop", b"hello")),
    ("an old client's Expect", get("Expect: 100-continue", "Content-Length: 0", line="POST / HTTP/1.0"), ("POST", "/", "shop", b"")),
    ("a colon and blanks in a value", get("X: a : b\t"), ("GET", "/", "shop", b"")),
    ("bytes above 127 in a value", get("X: \xe9\xa0\x85"), ("GET", "/", "shop", b"")),
    ("an empty value", get("X:"), ("GET", "/", "shop", b"")),
    ("an underscore in a name", get("My_Field: a", "Content_Type: b"), ("GET", "/", "shop", b"")),
    ("a method nobody knows", get(line="BREW /pot HTTP/1.1"), ("BREW", "/pot", "shop", b"")),
    ("a target of 8 KiB", get(line="GET /" + "a" * 8191 + " HTTP/1.1"), ("GET", "/" + "a" * 8191, "shop", b"")),
    ("100 fields", get(*["X: a"] * 99), ("GET", "/", "shop", b"")),
    ("NUL in a query", get(line="GET /a?%00 HTTP/1.1"), ("GET", "/a?%00", "shop", b"")),
    ("dots, a backslash and a slash encoded, as they came", get(line="GET /a/../b%2f..%2e/c%5c HTTP/1.1"),
     ("GET", "/a/../b%2f..%2e/c%5c", "shop", b"")),
    ("two slashes", get(line="GET //other/ HTTP/1.1"), ("GET", "//other/", "shop", b"")),
    ("an absolute target: its host wins", get(line="GET http://other:81/a?b HTTP/1.1"), ("GET", "/a?b", "other:81", b"")),
    ("an absolute target without a path", get(line="GET http://other HTTP/1.1"), ("GET", "/", "other", b"")),
    ("an absolute target with a query alone", get(line="GET http://other?a HTTP/1.1"), ("GET", "/?a", "other", b"")),
    ("OPTIONS of the server", get(line="OPTIONS * HTTP/1.1"), ("OPTIONS", "*", "shop", b"")),
    ("OPTIONS of a server named by an absolute target", get(line="OPTIONS http://other HTTP/1.1"), ("OPTIONS", "*", "other", b"")),
    ("a host with a port", get(host="Host: [::1]:80"), ("GET", "/", "[::1]:80", b"")),
    ("fields that may not be listed away",
     get("Connection: Host, Content-Length, Transfer-Encoding, Authorization, X-Request-Id, X-Forwarded-For, close", "Content-Length: 5",
         "Authorization: a", line="POST / HTTP/1.1") + b"hello", ("POST", "/", "shop", b"hello")),
    ("an upgrade that is no GET", get("Connection: upgrade", "Upgrade: echo", "Content-Length: 5", line="POST / HTTP/1.1") + b"hello",
     ("POST", "/", "shop", b"hello")),
    ("an upgrade with a body", get("Connection: upgrade", "Upgrade: echo", "Content-Length: 5") + b"hello", ("GET", "/", "shop", b"hello")),
    ("an upgrade to HTTP/2", get("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk"), ("GET", "/", "shop", b"")),
    ("an expectation", post("Expect: 100-Continue\r\nContent-Length: 5", b"hello"), ("POST", "/", "shop", b"hello")),
    ("what is for this hop", get("TE: trailers, gzip", "Keep-Alive: 5", "Proxy-Authorization: a", "Trailer: X", "Connection: TE, X", "X: a"),
     ("GET", "/", "shop", b"")),
]
