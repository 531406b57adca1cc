#!/usr/bin/env node
import process from 'node:process';
import { runCli } from './cli.ts';
import { processTerminal } from './output/terminal.ts';

process.exitCode = await runCli(process.argv.slice(2), processTerminal(), process.env);
