export const ways = [];
