package target

import (
	"strings"
	"testing"
)

// TestOptionsAreChecked: what is wrong is said before anything is sent.
func TestOptionsAreChecked(t *testing.T) {
	for o, want := range map[Options]string{
		{}:                                    "allowed: a URL such as",
		{URL: "127.0.0.1:80"}:                 "allowed: a URL such as",
		{URL: "ftp://a"}:                      "allowed: a URL such as",
		{URL: "http://a/?key=b"}:              "allowed: a URL such as",
		{URL: "http://a", Dialect: "sora"}:    "allowed: auto, longtake",
		{URL: "http://a", Poll: -1}:           "a limit below 0",
		{URL: "http://a", CA: "/nonexistent"}: "nonexistent",
	} {
		_, err := Open(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", o, err, want)
		}
	}
	o, err := Options{URL: "http://a:1/x/v1/"}.checked()
	if err != nil || o.URL != "http://a:1/x" || o.Dialect != Auto || o.Timeout != defaultTimeout {
		t.Errorf("%+v, %v", o, err)
	}
}
