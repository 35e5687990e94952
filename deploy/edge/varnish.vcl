# Varnish as a cache in front of certstatus. Varnish 6.0 LTS or later, with a C compiler (it compiles this file).
#
#   varnishd -F -a :80 -f /path/to/varnish.vcl -s malloc,1g -p backend_idle_timeout=8 -p default_grace=0
#
# uWebSockets.js closes after 10 s without a request, hence backend_idle_timeout. Lines to look at are marked with <-.

vcl 4.1;

import directors;

probe alive {
    .request =
        "GET / HTTP/1.1"
        "Host: localhost"
        "Connection: close";
    .interval = 2s;
    .timeout = 1s;
    .window = 2;
    .threshold = 1;
    .initial = 1;
}

# <- the origin listener
backend origin {
    .host = "127.0.0.1";
    .port = "8082";
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
    .probe = alive;
}

# <- the public listener: for POST, and where uWebSockets.js does not load
backend public {
    .host = "127.0.0.1";
    .port = "8080";
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
}

sub vcl_init {
    new answers = directors.fallback();
    answers.add_backend(origin);
    answers.add_backend(public);
}

sub vcl_recv {
    # Nothing of a client's but method, path, Host and conditions matters.
    unset req.http.Cookie;
    unset req.http.Authorization;
    if (req.method == "GET" || req.method == "HEAD") {
        if (!req.http.Host && req.proto == "HTTP/1.1") {
            return (synth(400));
        }
        set req.backend_hint = answers.backend();
        return (hash);
    }
    # POST, whose answer may be for this client alone (nonce), and whatever the responder refuses.
    set req.backend_hint = public;
    return (pass);
}

# The key. req.url itself is never changed: it arrives as it was sent (T-49). Spellings of `+ / =` share an entry, and so do
# queries, which the responder does not read. Never make // one slash here: it is two characters of base64.
sub vcl_hash {
    hash_data(regsub(regsuball(regsuball(regsuball(req.url, "%2[Bb]", "+"), "%2[Ff]", "/"), "%3[Dd]", "="), "\?.*$", ""));
    # Host tells equal paths of different CAs apart, for CRLs and CA certificates only: an OCSP answer does not depend on it. The
    # shortest OCSPRequest is 66 octets, so 88 characters of base64; what is shorter is a file, and so is what is called one.
    if (req.url !~ "^[^?]{88}" || req.url ~ "\.(crl|crt|cer|der|p7c)(\?|$)") {
        hash_data(req.http.Host);
    }
    return (lookup);
}

sub vcl_backend_response {
    unset beresp.http.uWebSockets;
    # Varnish serves an object 10 s past its max-age unless told not to, must-revalidate or not (H-10, P4).
    set beresp.grace = 0s;
    set beresp.keep = 0s;
    # How long, says the answer. One that does not say is not kept.
    if (!beresp.http.Cache-Control || beresp.http.Cache-Control ~ "(?i)no-store|no-cache|private") {
        # For this long the next ones are not made to wait for each other; the first that may be kept is.
        set beresp.ttl = 120s;
        set beresp.uncacheable = true;
    }
    return (deliver);
}

sub vcl_backend_fetch {
    if (bereq.retries > 0) {
        set bereq.backend = public;
    }
    return (fetch);
}

# Varnish's own pages, when no listener answers: kept by nobody.
sub vcl_synth {
    set resp.http.Cache-Control = "no-store";
}

sub vcl_backend_error {
    # The origin listener went away since the last probe of it.
    if (bereq.retries == 0 && (bereq.method == "GET" || bereq.method == "HEAD")) {
        return (retry);
    }
    set beresp.http.Cache-Control = "no-store";
    set beresp.grace = 0s;
}
