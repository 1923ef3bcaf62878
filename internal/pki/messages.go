package pki

// What processes ask coordinators of certificates is here, and not among the API's other types: so
// shards can send it without knowing the API.

// JoinRequest asks for the first certificate of a process, with a token.
type JoinRequest struct {
	Secret string `json:"secret"` // the last part of the token
	CSR    string `json:"csr"`    // PEM
}

// RenewRequest asks for the next certificate; the one that the client shows says whose.
type RenewRequest struct {
	CSR string `json:"csr"`
}

// Certified is what a process needs to be one of a cluster: its certificate, whom to believe, and
// where the coordinators are.
type Certified struct {
	Certificate string `json:"certificate,omitempty"` // PEM, with what leads to the CA
	Bundle
}

// Bundle is what processes ask for now and then: the CAs that count change while they run.
type Bundle struct {
	CAs          string   `json:"cas"`          // PEM
	Signer       string   `json:"signer"`       // SHA-256 of the CA that signs, in hex
	Coordinators []string `json:"coordinators"` // URLs
	Control      string   `json:"control"`      // the coordinators' NATS, separated by commas
	Denied       []string `json:"denied"`       // URIs of identities that were revoked
}
