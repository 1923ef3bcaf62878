package config

import "fmt"

// Error is a mistake in the settings, such as a value that is not allowed. It says of itself that
// the caller was wrong, so a program that passes it on exits with code 2.
type Error struct{ err error }

// Errorf returns a mistake in the settings, formatted as fmt.Errorf does. It is for rules that
// belong to the package that a setting is for.
func Errorf(format string, args ...any) error { return &Error{fmt.Errorf(format, args...)} }

// Error implements error.
func (e *Error) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// BadInput reports that what was asked for is wrong, not what was tried.
func (e *Error) BadInput() bool { return true }
