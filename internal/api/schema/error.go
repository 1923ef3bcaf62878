package schema

import "net/http"

// Error is what the API answers when it does not do what was asked, in OpenAI's shape. Clients
// return it, with the status of HTTP.
type Error struct {
	// Of HTTP; the body has the rest.
	Status  int    `json:"-"` // of HTTP
	Message string `json:"message"`
	Type    string `json:"type"`            // "invalid_request_error" or "server_error"
	Param   string `json:"param,omitempty"` // the field that is wrong
	Code    string `json:"code,omitempty"`
}

// Error implements error.
func (e *Error) Error() string { return e.Message }

// BadInput reports that the request itself was wrong or too large: a command then exits with code
// 2.
func (e *Error) BadInput() bool {
	return e.Status == http.StatusBadRequest || e.Status == http.StatusRequestEntityTooLarge
}

// BadRequest reports whether the fault is in the request, so that repeating it cannot help.
func (e *Error) BadRequest() bool { return e.Status >= 400 && e.Status < 500 && e.Status != 429 }

// ErrorBody is the JSON of an answer that is an error.
type ErrorBody struct {
	Error *Error `json:"error"`
}
