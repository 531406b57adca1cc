export { createHostDevice as open } from '@checkpoint-engine/device';
