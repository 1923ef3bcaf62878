package api

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/longtake/longtake/internal/api/schema"
)

// absent are routes that clients know from other servers, and what there is instead. Below them
// nothing is found either. characters is OpenAI's.
var absent = map[string]string{
	"/v1/videos/characters": "a prompt or a picture (input_reference of POST /v1/videos) says who " +
		"is to be seen",
}

// notBuilt answers for those routes. SDKs repeat a 501 unless they are told that it will not help.
func notBuilt(w http.ResponseWriter, r *http.Request, instead string) error {
	w.Header().Set("X-Should-Retry", "false")
	return &schema.Error{Status: http.StatusNotImplemented, Type: "invalid_request_error",
		Code: "not_implemented", Message: fmt.Sprintf("%.32s %.128s is not built; there is instead: %s",
			r.Method, r.URL.Path, instead)}
}

// noRoute answers for paths that lead nowhere. It is the handler of the absent routes and of all
// that no pattern matches.
func noRoute(w http.ResponseWriter, r *http.Request) error {
	for path, instead := range absent {
		if r.URL.Path == path || strings.HasPrefix(r.URL.Path, path+"/") {
			return notBuilt(w, r, instead)
		}
	}
	return &schema.Error{Status: http.StatusNotFound, Type: "invalid_request_error",
		Code: "unknown_url", Message: fmt.Sprintf("there is no %.32s %.128s", r.Method, r.URL.Path)}
}
