/**
 * The tests that every transport, device and store of checkpoint-engine must pass, including third-party ones. The
 * caller provides the test runner, and chooses where the members of a group run: in one process, or in one process
 * each.
 *
 * @packageDocumentation
 */
export type { BroadcastFactory } from './broadcast/broadcast-member.ts';
export { broadcastSuite } from './broadcast/broadcast-suite.ts';
export { deviceSuite } from './device-suite/device-suite.ts';
export type { DeviceSuiteOptions } from './device-suite/device-suite-options.ts';
export type { P2PFactory } from './p2p/p2p-member.ts';
export { p2pSuite } from './p2p/p2p-suite.ts';
export { hubLink } from './store/hub-link.ts';
export { serveHub, socketLink } from './store/socket-link.ts';
export { StoreHub } from './store/store-hub.ts';
export { TestStore } from './store/test-store.ts';
export { storeSuite } from './store-suite/store-suite.ts';
export type { StoreSuiteOptions, StoreWorld } from './store-suite/store-suite-options.ts';
export type { RegisterTest, Runner, Skip } from './suite/runner.ts';
export type { SuiteOptions } from './suite/suite-options.ts';
export { type InProcessOptions, inProcess } from './world/in-process.ts';
export type { MemberContext, MemberParts } from './world/member-parts.ts';
export { type ProcessesOptions, processes } from './world/processes.ts';
export { runMember } from './world/run-member.ts';
export type { Factory, Kind, World } from './world/world.ts';
