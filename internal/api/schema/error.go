package schema

import "net/http"

// Error is what the API answers when it does not do what was asked, in OpenAI's shape. Clients
// return it, with the status of HTTP.
type Error struct {
	// Status is that of HTTP, such as 400; the body has the rest.
	Status int `json:"-"`
	// Message is for people; of a wrong field it says "X is Y; allowed: Z".
	Message string `json:"message"`
	// Type is "invalid_request_error" or "server_error".
	Type string `json:"type"`
	// Param is the field that is wrong, if it is one.
	Param string `json:"param,omitempty"`
	// Code is for programs, such as "queue_full"; it does not change.
	Code string `json:"code,omitempty"`
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

// ErrorBody is the JSON of an answer that is an error. Error is nil where something else than the
// API has answered.
type ErrorBody struct {
	Error *Error `json:"error"`
}
