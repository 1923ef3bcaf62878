package result

import _ "embed"

// schema is made of the types and their comments; a test holds it equal to them:
// go test ./internal/bench/result -run SchemaIs -update
//
//go:embed result.schema.json
var schema []byte

// Schema returns the JSON Schema (draft 2020-12) of result.json in this Version.
func Schema() []byte { return append([]byte(nil), schema...) }
