package job

import "fmt"

// FieldError says which field of a request is wrong; its text is one line for the client.
type FieldError struct {
	Field   string // as in JSON, such as "num_frames"
	Value   string
	Allowed string // what would do, such as "1 to 81"
}

// Error implements error.
func (e *FieldError) Error() string {
	return fmt.Sprintf("%s is %s; allowed: %s", e.Field, e.Value, e.Allowed)
}

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *FieldError) BadInput() bool { return true }

// number writes an integer as errors do.
func number(v int) string { return fmt.Sprint(v) }

// quote shows at most 64 bytes of what a client sent.
func quote(s string) string { return fmt.Sprintf("%q", s[:min(len(s), 64)]) }
