// Package shard is a node among coordinators: it loads a model on a device, registers, takes orders
// to run one rank of a job, and reports.
//
// A Shard speaks package wire over the coordinators' NATS and owns the data plane over which ranks
// exchange activations. What a rank computes is package engine's.
package shard
