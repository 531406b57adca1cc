export { createCudaDevice as open } from '@checkpoint-engine/device';
