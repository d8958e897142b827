export const changes = [];
