// Package shard is a node's runtime: it loads a model on a device, registers with the coordinators,
// takes orders to run one rank of a job, and reports.
//
// An Engine computes (rank.go, denoise.go, finish.go) and knows nothing of coordinators; a Shard
// (node.go, work.go) speaks package wire over the coordinators' NATS and owns the data plane, over
// which ranks exchange activations.
package shard
