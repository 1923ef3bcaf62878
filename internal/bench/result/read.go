package result

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Limits of a file of results. A soak of a week at a clip every three seconds has 200,000 requests,
// and a record of one is about a kilobyte.
const (
	BytesMax    = 512 << 20 // of result.json
	RequestsMax = 250_000
)

// ErrVersion is about results of a version of the schema that this package does not know.
var ErrVersion = errors.New("this version of longtake does not read it")

// Read reads result.json. It refuses other versions of the schema with ErrVersion, unknown fields,
// files beyond the limits, and values that no run can have, with an error that names the field.
func Read(r io.Reader) (Result, error) {
	text, err := io.ReadAll(io.LimitReader(r, BytesMax+1))
	if err != nil {
		return Result{}, fmt.Errorf("cannot read the results: %w", err)
	}
	if len(text) > BytesMax {
		return Result{}, fmt.Errorf("the results have more than %d bytes", BytesMax)
	}

	// The version first: what is wrong with a file of another version is its version.
	var head struct {
		Schema *int `json:"schema"`
	}
	if err := json.Unmarshal(text, &head); err != nil {
		return Result{}, fmt.Errorf("the results are not JSON of a result: %w", err)
	}
	if head.Schema == nil {
		return Result{}, errors.New("schema is missing; results say in which version they are")
	}
	if *head.Schema < oldest || *head.Schema > Version {
		return Result{}, fmt.Errorf("schema is %d; allowed: %d to %d: %w", *head.Schema, oldest,
			Version, ErrVersion)
	}

	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var out Result
	if err := d.Decode(&out); err != nil {
		return Result{}, fmt.Errorf("the results are not JSON of a result: %w", err)
	}
	return out, out.Check()
}

// Write writes result.json, after Check. The same result makes the same bytes.
func Write(w io.Writer, r Result) error {
	if r.Requests == nil {
		r.Requests = []Request{} // an array in the file, too
	}
	if err := r.Check(); err != nil {
		return err
	}
	text, err := json.MarshalIndent(r, "", " ")
	if err == nil {
		_, err = w.Write(append(text, '\n'))
	}
	if err != nil {
		return fmt.Errorf("cannot write the results: %w", err)
	}
	return nil
}
